"""A lock on a folder: one process at a time trains in a run directory."""

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, RunError
from . import signals
from .files import make_folders

LOCK, POLL_SECONDS = ".lock", 0.1


class LockedError(InputError):
    """Another process holds a run directory."""


@contextmanager
def run_lock(folder: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Keeps every other process out of a run directory, which is made if need be.

    Args:
      folder: the run directory.
      wait_seconds: how long another process may still hold it.

    Raises:
      LockedError: another process holds it.
      RunError: the folder cannot be written, or its file system keeps no locks.
    """
    path = Path(folder) / LOCK
    try:
        make_folders(path.parent)
        file = open(path, "a")  # noqa: SIM115 - closed below, where a failure means another thing
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written: {error.strerror} ({_name_of(error)}, {path.name}); make "
            "the folder writable, or choose another --run"
        ) from error
    with file:
        end = time.monotonic() + wait_seconds
        while (error := _locked(file)) is not None:
            if error.errno != errno.EWOULDBLOCK or time.monotonic() >= end:
                raise _refusal(folder, error) from error
            signals.check()
            time.sleep(POLL_SECONDS)
        yield


def _locked(file):
    """Locks a file unless another process holds it; returns the error, None without."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error
    return None


def _refusal(folder, error):
    """Returns what an error of flock means."""
    if error.errno == errno.EWOULDBLOCK:
        return LockedError(
            f"{folder}: another process trains in it; wait for that, or choose another --run"
        )
    return RunError(
        f"{folder}: cannot be locked: {error.strerror} ({_name_of(error)}), and two processes must "
        "not train in it: choose a --run on a file system that keeps locks, a local disk say"
    )


def _name_of(error):
    """Returns an error's name in errno.h, its number where it has none."""
    return errno.errorcode.get(error.errno or 0, str(error.errno))
