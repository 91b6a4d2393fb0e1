"""Runs a command under a hard limit of memory, and says whether it ran out of it.

Where a memory cgroup can be made, the command runs alone in one (kind "cgroup v1" or "cgroup v2",
swap limited too): it counts all its pages, and the kernel kills a process that needs more.
Elsewhere the command gets RLIMIT_DATA: it counts what is allocated, touched or not, and no file
pages; an allocation beyond it fails. Most programs then say so. LiteRT dies without a word: such a
command is run once more with twice the memory, and ran out of memory if that goes further.

As a process, `python -m … KIND WHERE COMMAND…` takes the limit on and becomes the command.
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

DATA = "RLIMIT_DATA"
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
# What Python, numpy, torch, C++ and our own command say when an allocation fails.
FAILED_ALLOCATION = re.compile(
    r"MemoryError|bad_alloc|(can't|cannot|unable to|failed to) allocate|not enough memory"
    r"|out of memory|memory allocation of \d+ bytes failed",
    re.IGNORECASE,
)
PR_SET_PDEATHSIG = 1
AVAILABLE_SHARE = 0.8  # of the machine's free memory, at most, for a second try
PATIENCE_SECONDS = 10


@dataclass(frozen=True)
class Outcome:
    """How a limited command ended.

    Attributes:
      ended: return code, wall seconds, ru_maxrss.
      out_of_memory: it ended because of the limit, as observed: it was killed and the kernel
        counted that in its cgroup; or it said that an allocation failed, or twice the memory
        was enough to get further.
      kind: "cgroup v1", "cgroup v2" or "RLIMIT_DATA".
      limit_bytes: the limit.
      peak_bytes: highest count of the cgroup, file pages included; None where nothing counts.
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
    variables: Mapping[str, str] = {},
    on_line: Callable[[str], None] = lambda line: None,
    reset: Callable[[], None] = lambda: None,
    cgroup_allowed: bool = True,
) -> Outcome:
    """Runs a command to its end; returns how it ended, whatever that was.

    Args:
      command: program and arguments.
      limit_bytes: that it may have.
      log: new file for all that it prints, stderr included.
      variables: added to its environment.
      on_line: told every line of its stdout.
      reset: puts things back so that it can run once more.
      cgroup_allowed: False takes RLIMIT_DATA in any case.
    """

    def told(line):
        output.write(f"{line}\n")
        output.flush()
        on_line(line)

    def run(kind, where, before=()):
        shim = [
            *before,
            sys.executable,
            "-m",
            "pocketllm.benchmarks.isolation.memory_limit",
            kind,
            where,
        ]
        return run_process([*map(str, shim), *command], variables, told, output)

    place = limited_cgroup(limit_bytes) if cgroup_allowed else nullcontext()
    with place as cgroup, open(log, "a") as output:  # both writers append
        if cgroup:
            ended = run(cgroup.kind, cgroup.procs)
            killed = ended.returncode == -signal.SIGKILL and cgroup.ran_out()
            return Outcome(ended, killed, cgroup.kind, limit_bytes, cgroup.peak_bytes())
        ended = run(DATA, limit_bytes)
        out_of_memory = ended.returncode != 0 and _says_so(log)
        more = min(2 * limit_bytes, int(AVAILABLE_SHARE * available_bytes()))
        # It may have died without a word, but RLIMIT_DATA does not kill.
        if ended.returncode not in (0, -signal.SIGKILL) and not out_of_memory:
            told(f"{ended.how}, nothing said of memory; once more with {more} bytes")
            reset()
            seconds = 2 * ended.seconds + PATIENCE_SECONDS
            again = run(DATA, more, before=["timeout", "--signal=KILL", f"{seconds:.0f}"])
            further = again.returncode == 0 or again.seconds >= seconds or _says_so(log)
            out_of_memory = more > limit_bytes and further
            reset()
        return Outcome(ended, out_of_memory, DATA, limit_bytes, None)


def available_bytes() -> int:
    """Returns the memory that new processes may have before the machine is short of it."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return 1024 * int(kilobytes)


def drop_caches() -> bool:
    """Lets go of all clean file pages; returns False where that is not permitted.

    A page that another process read before is charged to that one, and costs a cgroup nothing.
    """
    os.sync()
    try:
        DROP_CACHES.write_text("3\n")
    except OSError:
        return False
    return True


def _says_so(log):
    return bool(FAILED_ALLOCATION.search(Path(log).read_text(errors="replace")))


def _become(kind, where, *command):
    """Takes the limit on and becomes the command, which dies with whoever started it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if kind == DATA:
        resource.setrlimit(resource.RLIMIT_DATA, (int(where), int(where)))
    else:
        Path(where).write_text(str(os.getpid()))
    os.execvp(command[0], command)


if __name__ == "__main__":
    _become(*sys.argv[1:])
