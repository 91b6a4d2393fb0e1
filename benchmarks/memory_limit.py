"""Runs a command under a hard limit of memory, and says whether it ran out of it.

Where a memory cgroup can be made, the command runs alone in one (kind "cgroup v1" or "cgroup v2",
swap limited too): it counts all its pages, and the kernel kills a process that needs more.
Elsewhere the command gets RLIMIT_DATA: it counts what is allocated, touched or not, and no file
pages; an allocation beyond it fails, and the command says so.

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
    r"|out of memory",
    re.IGNORECASE,
)
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Outcome:
    """How a limited command ended.

    Attributes:
      ended: return code, wall seconds, ru_maxrss.
      out_of_memory: it ended because of the limit. Observed: the kernel counted a kill in its
        cgroup and it was killed, or an allocation failed and it said so.
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
    cgroup_allowed: bool = True,
) -> Outcome:
    """Runs a command to its end; returns how it ended, whatever that was.

    Args:
      command: program and arguments.
      limit_bytes: that it may have.
      log: new file for all that it prints, stderr included.
      variables: added to its environment.
      on_line: told every line of its stdout.
      cgroup_allowed: False takes RLIMIT_DATA in any case.
    """

    def told(line):
        output.write(f"{line}\n")
        output.flush()
        on_line(line)

    place = limited_cgroup(limit_bytes) if cgroup_allowed else nullcontext()
    with place as cgroup, open(log, "a") as output:  # both writers append
        kind, where = (cgroup.kind, cgroup.procs) if cgroup else (DATA, limit_bytes)
        shim = [sys.executable, "-m", "pocketllm.benchmarks.memory_limit", kind, str(where)]
        ended = run_process([*shim, *command], variables, told, output)
        if cgroup:
            out_of_memory = ended.returncode == -signal.SIGKILL and cgroup.kills() > 0
            return Outcome(ended, out_of_memory, kind, limit_bytes, cgroup.peak_bytes())
        said = FAILED_ALLOCATION.search(Path(log).read_text(errors="replace"))
        return Outcome(ended, bool(ended.returncode and said), kind, limit_bytes, None)


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
