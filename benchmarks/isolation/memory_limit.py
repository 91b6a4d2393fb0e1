"""Runs a command under a hard memory limit, and observes whether it ran out of memory.

If a memory cgroup can be made, the command runs alone in it (kind "cgroup v1" or "cgroup v2", swap
limited too): it counts all pages, and the kernel kills a process that needs more. Otherwise the
command gets RLIMIT_DATA, which counts allocated memory, touched or not, and no pages of files;
allocations beyond it fail. Most programs then print a message. LiteRT crashes without one: such a
command runs again with twice the memory, and ran out of memory if it then gets further.

`python -m pocketllm.benchmarks.isolation.memory_limit KIND WHERE COMMAND…` applies the limit to
itself and becomes the command.
"""

import ctypes
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from .cgroup import limited_cgroup
from .process import Ended, run_process

SHIM = "pocketllm.benchmarks.isolation.memory_limit"
DATA = "RLIMIT_DATA"
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
# Messages of Python, numpy, torch, C++ and our own command for a failed allocation.
FAILED_ALLOCATION = re.compile(
    r"MemoryError|bad_alloc|(can't|cannot|unable to|failed to) allocate|not enough memory"
    r"|out of memory|memory allocation of \d+ bytes failed",
    re.IGNORECASE,
)
PR_SET_PDEATHSIG = 1
AVAILABLE_SHARE = 0.8  # largest share of the machine's free memory for the second run
PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Outcome:
    """How a limited command ended.

    Attributes:
      ended: return code, wall seconds, ru_maxrss of the (first) run.
      out_of_memory: whether it ended because of the limit: the kernel killed it in its cgroup; or
        it printed that an allocation failed; or it got further with twice the memory.
      kind: "cgroup v1", "cgroup v2" or "RLIMIT_DATA".
      limit_bytes: the limit.
      peak_bytes: the cgroup's highest count, pages of files included; None if there is no count.
    """

    ended: Ended
    out_of_memory: bool
    kind: str
    limit_bytes: int
    peak_bytes: int | None


def run_limited(
    command: Sequence[str],
    limit_bytes: int,
    log: Path,
    *,
    variables: Mapping[str, str] = {},
    say: Callable[[str], None] = lambda line: None,
    reset: Callable[[], None] = lambda: None,
    cgroup_allowed: bool = True,
) -> Outcome:
    """Runs a command under a limit to its end; returns how it ended and never raises for that.

    Args:
      command: program and arguments.
      limit_bytes: the memory that it may have.
      log: new file for its stdout and stderr.
      variables: added to its environment.
      say: takes each line of its stdout.
      reset: undoes the command's effects, so that it can run again.
      cgroup_allowed: False: use RLIMIT_DATA even if a cgroup can be made.
    """

    def log_line(line):
        output.write(f"{line}\n")
        output.flush()
        say(line)

    def run(kind, where, before=()):
        shim = [*before, sys.executable, "-m", SHIM, kind, str(where)]
        return run_process([*shim, *command], variables, log_line, output)

    place = limited_cgroup(limit_bytes) if cgroup_allowed else nullcontext()
    with place as cgroup, open(log, "a") as output:  # append: the command writes stderr to it too
        if cgroup:
            ended = run(cgroup.kind, cgroup.procs)
            killed = ended.returncode == -signal.SIGKILL and cgroup.ran_out()
            return Outcome(ended, killed, cgroup.kind, limit_bytes, cgroup.peak_bytes())
        ended = run(DATA, limit_bytes)
        out_of_memory = ended.returncode != 0 and _names_failed_allocation(log)
        more = min(2 * limit_bytes, int(AVAILABLE_SHARE * available_bytes()))
        # A crash without a message may be a failed allocation; SIGKILL is not RLIMIT_DATA's.
        if ended.returncode not in (0, -signal.SIGKILL) and not out_of_memory:
            log_line(f"{ended.how}, nothing said of memory; once more with {more} bytes")
            reset()
            seconds = 2 * ended.seconds + PATIENCE_SECONDS
            again = run(DATA, more, before=["timeout", "--signal=KILL", f"{seconds:.0f}"])
            timed_out = again.seconds >= seconds
            further = again.returncode == 0 or timed_out or _names_failed_allocation(log)
            out_of_memory = more > limit_bytes and further
            reset()
        return Outcome(ended, out_of_memory, DATA, limit_bytes, None)


def available_bytes() -> int:
    """Returns the bytes of memory that new processes can have (the kernel's MemAvailable)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return 1024 * int(kilobytes)


def drop_caches() -> bool:
    """Drops all clean pages of files from memory; returns False if that is not permitted.

    A page that is in memory already is charged to the process that read it, not to the cgroup.
    """
    os.sync()
    try:
        DROP_CACHES.write_text("3\n")
    except OSError:
        return False
    return True


def _names_failed_allocation(log):
    return bool(FAILED_ALLOCATION.search(Path(log).read_text(errors="replace")))


def _become(kind, where, *command):
    """Applies the limit and becomes the command, which dies with the process that started it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if kind == DATA:
        resource.setrlimit(resource.RLIMIT_DATA, (int(where), int(where)))
    else:
        Path(where).write_text(str(os.getpid()))
    os.execvp(command[0], command)


if __name__ == "__main__":
    _become(*sys.argv[1:])
