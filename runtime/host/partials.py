"""Files and folders under way: hidden names beside what they become, and what the dead left.

A name ends in the id of the process that writes. A process id alone proves little: it is used
again, and means nothing in another container or on another host. So the writer also locks what it
writes, and a name is left over only if no such process runs, or one that is younger than it, and
nobody holds the lock.
"""

import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import contract

PARTIAL = ".partial-"  # in the name of what is under way, before the process id
REPLACED = ".replaced-"  # of a folder that gives way to a new one
NAME = re.compile(r"\.(.+)(\.partial-|\.replaced-)([0-9]+)")
OURS = (contract.MANIFEST_FILE, "config.json")  # a bundle holds the one, a run the other
CLOCK_ERROR_SECONDS = 2.0  # of a process's start, which is given in ticks since boot
# Where a file system keeps no locks, only age says that a writer on another host is dead.
UNLOCKED_SECONDS = 24 * 3600.0

_under_way: set[Path] = set()  # of this process


def partial_path(path: Path) -> Path:
    """Returns where this process writes what becomes `path` by rename: hidden, in its folder."""
    return path.with_name(f".{path.name}{PARTIAL}{os.getpid()}")


def replaced_path(path: Path) -> Path:
    """Returns where `path` lies for the moment in which this process puts a new one there."""
    return path.with_name(f".{path.name}{REPLACED}{os.getpid()}")


@contextmanager
def under_way(path: Path) -> Iterator[None]:
    """Marks an existing partial file or folder as this process's until the block ends."""
    path = path.absolute()
    _under_way.add(path)
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(handle)
    finally:
        _under_way.discard(path)


def sweep(folder: Path, belongs: Callable[[str], bool] = lambda name: True) -> None:
    """Removes what dead processes left in a folder; errors are passed over.

    A folder that had given way, and whose successor never came, gets its name back.

    Args:
      folder: may be missing.
      belongs: tells of a name without dot and process id whether it may be removed.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in sorted(names, reverse=True):  # what was replaced is put back first
        match = NAME.fullmatch(name)
        path = Path(folder).absolute() / name
        if not match or not belongs(match[1]) or not _is_left_over(path, int(match[3])):
            continue
        target = path.with_name(match[1])
        with suppress(OSError):
            if match[2] == REPLACED and not os.path.lexists(target):
                os.rename(path, target)
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def sweep_beside(path: Path) -> None:
    """Removes what dead processes left beside a file or folder on the way to it."""
    sweep(path.parent, path.name.__eq__)


def sweep_around(path: Path) -> None:
    """Removes what dead processes left beside a file or folder, and inside a bundle or run."""
    path = path.absolute()
    sweep_beside(path)
    if any((path / name).is_file() for name in OURS):
        sweep(path)


def writers(folder: Path) -> dict[str, int]:
    """Returns {name: id of the process that writes it} of what is under way in a folder."""
    matches = map(NAME.fullmatch, os.listdir(folder))
    return {match[1]: int(match[3]) for match in matches if match}


def _is_left_over(path, process):
    """Whether the process that wrote this is dead."""
    if path in _under_way:
        return False
    try:
        changed = path.lstat().st_ctime
    except OSError:
        return False
    if process != os.getpid() and _runs_since(process, changed):
        return False
    return _is_unlocked(path, changed)


def _runs_since(process, changed):
    """Whether a process runs that is not younger than a change at this time."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another user's
        pass
    try:
        # After the command's name, which may hold anything: the state, ..., the start in ticks.
        fields = (
            Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
        )
        state, ticks = fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return True
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return state not in "ZX" and changed >= time.time() - age - CLOCK_ERROR_SECONDS


def _is_unlocked(path, changed):
    """Whether nobody, in whatever container or on whatever host, holds the lock of a path."""
    if path.is_symlink():
        return True
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        is_without_locks = error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
        return is_without_locks and time.time() - changed > UNLOCKED_SECONDS
    finally:
        os.close(handle)
