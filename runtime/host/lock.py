"""A lock on a folder: one process at a time trains in a run directory."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, RunError

LOCK = ".lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keeps every other process out of a run directory, which is made if need be.

    Raises:
      InputError: another process holds it.
    """
    path = Path(folder) / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115 - closed below, where a failure means another thing
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written: {error.strerror}; choose another --run"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{folder}: another process trains in it; wait for that, or choose another --run"
            ) from error
        yield
