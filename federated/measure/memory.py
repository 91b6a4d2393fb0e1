"""Anonymous memory of a command's processes, by program: what no other process shares."""

import re
from collections import defaultdict
from pathlib import Path

from ..flower.processes import PROC, descendants

PROGRAMS = ("flower-supernode", "flower-superexec", "flwr-clientapp")
OTHER = "command"  # the command itself


def anonymous_bytes(pid: int) -> dict[str, int]:
    """Returns {program: Pss_Anon of its processes, bytes} of a process and all its children.

    Args:
      pid: of a `pocketllm federate client`; processes that end meanwhile are left out.
    """
    memory = defaultdict(int)
    for process in (pid, *descendants(pid)):
        memory[_program(process)] += _pss_anon(process)
    return dict(memory)


def _program(pid):
    words = _text(PROC / str(pid) / "cmdline").split("\0")[:2]
    names = {Path(word).name for word in words}
    return next((program for program in PROGRAMS if program in names), OTHER)


def _pss_anon(pid):
    line = re.search(r"^Pss_Anon:\s+(\d+) kB", _text(PROC / str(pid) / "smaps_rollup"), re.M)
    return int(line[1]) * 1024 if line else 0


def _text(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
