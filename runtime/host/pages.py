"""Drops resident pages: of mapped files, of arrays no longer needed, of memory that was freed."""

import ctypes
import mmap
from pathlib import Path

import numpy as np

MADV_DONTNEED = 4
CHANGEABLE = "rw-p"  # in /proc/self/maps


def release_file_pages(path: Path) -> None:
    """Drops the resident pages of a mapped file (its resolved path); they can be read again.

    Not those of a private mapping that can be written: a page that was changed would be lost.
    """
    for start, length in _mappings(path):
        _drop(start, length)


def release_array_pages(array: np.ndarray) -> None:
    """Drops the whole pages inside a contiguous array; their values then read as 0."""
    address = array.ctypes.data
    first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (address + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        _drop(first, last - first)


def release_freed_memory() -> None:
    """Gives the kernel back what was freed: the C library keeps it, for what is never asked again.

    Only glibc has the function; the other libraries do it by themselves.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _drop(start, length):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), MADV_DONTNEED)


def _mappings(path: Path):
    """Returns (address, bytes) of this process's mappings of a file, as `release_file_pages`."""
    mappings = []
    try:
        with open("/proc/self/maps") as file:
            for line in file:
                fields = line.rstrip("\n").split(maxsplit=5)
                if len(fields) == 6 and fields[5] == str(path) and fields[1] != CHANGEABLE:
                    first, last = (int(address, 16) for address in fields[0].split("-"))
                    mappings.append((first, last - first))
    except OSError:  # no /proc: nothing to drop
        pass
    return mappings
