"""Resident pages of files that this process has mapped."""

import ctypes
from pathlib import Path

MADV_DONTNEED = 4


def release_file_pages(path: Path) -> None:
    """Lets go of the resident pages of a mapped file (its resolved path); they can be read again.

    Only for mappings that nobody writes to: a private page that was changed would be lost.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for start, length in _mappings(path):
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), MADV_DONTNEED)


def _mappings(path: Path):
    """Returns (address, bytes) of this process's mappings of a file."""
    found = []
    try:
        with open("/proc/self/maps") as file:
            for line in file:
                fields = line.rstrip("\n").split(maxsplit=5)
                if len(fields) == 6 and fields[5] == str(path):
                    first, last = (int(address, 16) for address in fields[0].split("-"))
                    found.append((first, last - first))
    except OSError:  # no /proc: nothing to let go of
        pass
    return found
