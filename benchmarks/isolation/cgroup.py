"""Memory cgroups, v1 and v2: a new one with a limit, below this process's own or beside it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

V1, V2 = "cgroup v1", "cgroup v2"
ROOT = Path("/sys/fs/cgroup")
PREFIX = "pocketllm-"
REMOVE_SECONDS = 1.0
REACHED = 0.99  # share of the limit; the allocation that failed may have been a large page


@dataclass(frozen=True)
class Files:
    """The names of a cgroup's files.

    Attributes:
      limit: takes the limit in bytes.
      swap: takes the limit of memory and swap (v1) or of swap alone (v2); absent without swap.
      events: has a line "oom_kill N", the number of processes that the kernel killed.
      peak: has the highest count in bytes; absent on old kernels.
    """

    limit: str
    swap: str
    events: str
    peak: str


FILES = {
    V1: Files(
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "memory.oom_control",
        "memory.max_usage_in_bytes",
    ),
    V2: Files("memory.max", "memory.swap.max", "memory.events", "memory.peak"),
}


@dataclass(frozen=True)
class Cgroup:
    """A memory cgroup with a limit; a process joins it by writing its id to `procs`."""

    kind: str
    folder: Path
    limit_bytes: int

    @property
    def procs(self) -> Path:
        """Returns the file that takes process ids."""
        return self.folder / "cgroup.procs"

    def ran_out(self) -> bool:
        """Returns whether the kernel killed a process because the limit was reached.

        A process that is killed below the limit was killed because the whole machine was full.
        """
        lines = (self.folder / FILES[self.kind].events).read_text().splitlines()
        kills = {name: int(count) for name, count in map(str.split, lines)}["oom_kill"]
        peak = self.peak_bytes()
        return kills > 0 and (peak is None or peak > REACHED * self.limit_bytes)

    def peak_bytes(self) -> int | None:
        """Returns the highest count in bytes, pages of files included; None: unknown."""
        path = self.folder / FILES[self.kind].peak
        return int(path.read_text()) if path.exists() else None


@contextmanager
def limited_cgroup(limit_bytes: int, root: Path = ROOT) -> Iterator[Cgroup | None]:
    """Yields a new cgroup with a limit, or None if none can be made; removes it at the end."""
    cgroup = next(filter(None, (_make(kind, limit_bytes, root) for kind in FILES)), None)
    try:
        yield cgroup
    finally:
        if cgroup:
            _remove(cgroup.folder)


def _make(kind, limit_bytes, root):
    """Returns a new cgroup of this kind, or None if this system cannot make one."""
    parent = _parent(kind, root)
    if parent is None:
        return None
    # Cgroups of commands that were killed: their process id, which is the name, is gone.
    for stale in parent.glob(f"{PREFIX}*"):
        if not Path("/proc", stale.name.removeprefix(PREFIX)).exists():
            _remove(stale)
    cgroup, files = Cgroup(kind, parent / f"{PREFIX}{os.getpid()}", limit_bytes), FILES[kind]
    try:
        cgroup.folder.mkdir()
    except OSError:
        return None
    try:
        (cgroup.folder / files.limit).write_text(str(limit_bytes))
        if (cgroup.folder / files.swap).exists():
            (cgroup.folder / files.swap).write_text(str(limit_bytes if kind == V1 else 0))
        if "oom_kill " in (cgroup.folder / files.events).read_text():
            return cgroup
    except OSError:
        pass
    _remove(cgroup.folder)
    return None


def _parent(kind, root):
    """Returns the folder for a new cgroup, below which existing limits still hold; or None."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    paths = {names: path.lstrip("/") for _, names, path in (line.split(":", 2) for line in lines)}
    if kind == V1:
        own = next((paths[names] for names in paths if "memory" in names.split(",")), None)
        return None if own is None else root / "memory" / own
    if "" not in paths:
        return None
    # A v2 cgroup with processes in it gives its children no controllers: take its parent.
    parent = (root / paths[""]).parent if paths[""] else root
    try:
        return parent if "memory" in (parent / "cgroup.subtree_control").read_text() else None
    except OSError:
        return None


def _remove(folder):
    """Removes a cgroup; waits a moment for its last process to end."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            return folder.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)
