"""Folders that the workers of a test session make once and share."""

import fcntl
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path


def session_root(tmp_path_factory) -> Path:
    """Returns a folder that all workers of this session see, and no other session."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    root.mkdir(exist_ok=True)
    return root


def shared_folder(root: Path, key: str, make: Callable[[Path], object]) -> Path:
    """Returns the folder of a key; the first worker to ask makes it, others wait for it.

    Args:
      root: see `session_root`.
      key: all that the contents depend on.
      make: writes a folder that does not exist yet.
    """
    place = root / sha256(key.encode()).hexdigest()[:16]
    with (root / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            beside = place.with_suffix(".new")
            shutil.rmtree(beside, ignore_errors=True)
            make(beside / "tiny")
            beside.rename(place)
    return place / "tiny"
