"""Anonymous memory of a command's processes, by program: what no other process shares."""

import re
from collections import defaultdict
from pathlib import Path

PROC = Path("/proc")
PROGRAMS = ("flower-supernode", "flower-superexec", "flwr-clientapp")
OTHER = "command"  # the command itself


def anonymous_bytes(pid: int) -> dict[str, int]:
    """Returns {program: Pss_Anon of its processes, bytes} of a process and all its children.

    Args:
      pid: of a `pocketllm federate client`; processes that end meanwhile are left out.
    """
    children = defaultdict(list)
    for path in PROC.iterdir():
        if path.name.isdecimal() and (parent := _parent(path)):
            children[parent].append(int(path.name))
    memory, waiting = defaultdict(int), [pid]
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        memory[_program(pid)] += _pss_anon(pid)
    return dict(memory)


def _parent(path):
    status = re.search(r"^PPid:\s+(\d+)", _text(path / "status"), re.M)
    return int(status[1]) if status else 0


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
