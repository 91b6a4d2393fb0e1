"""Disks without space: a small file system in memory, and a limit on the size of files."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    """Mounts a disk of so many bytes on a new folder; skips the test without the right to."""
    folder.mkdir()
    if not mount(folder, f"size={size}"):
        pytest.skip("no right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(folder: Path, *options: str) -> bool:
    """Mounts, or mounts again, a file system in memory; returns whether that went well."""
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder]
    return subprocess.run(command, capture_output=True).returncode == 0


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Lets no process that is started in here write a file of more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
