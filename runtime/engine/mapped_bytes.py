"""A file as a bytes object that is not copied: its characters are the file's pages.

Libraries take a file by its name, or its contents as `bytes`. Where some of a large file is to be
another for this process alone, neither would do: a copy takes memory, a second file takes space.
CPython has an object's header right before the characters, so a page before the mapped file gets
one (docs/decisions/0048-a-process-opens-what-it-calls.md).
"""

import ctypes
import mmap
import os
import struct
import sys
from pathlib import Path

# Of a bytes object: references, type, length, hash.
HEADER = struct.Struct("nPnn")
NO_HASH = -1
PRIVATE, FIXED, ANONYMOUS = 0x02, 0x10, 0x20  # flags of mmap, on Linux
FAILED = ctypes.c_void_p(-1).value


def is_possible() -> bool:
    """Whether this Python has bytes objects of the known layout, and the system can map."""
    if not sys.platform.startswith("linux") or bytes.__basicsize__ != HEADER.size + 1:
        return False
    sample = b"a sample"
    _, kind, length, _ = HEADER.unpack(ctypes.string_at(id(sample), HEADER.size))
    return (kind, length) == (id(bytes), len(sample))


class MappedBytes:
    """A mapped file.

    Attributes:
      content: the file's bytes, until `close`.
    """

    def __init__(self, path: Path):
        """Maps a file; OSError where that fails."""
        self._libc, self._start = _libc(), 0
        with open(path, "rb") as file:
            self._size = os.fstat(file.fileno()).st_size
            if not self._size:
                raise OSError(f"{path}: empty")
            start = self._mapped(None, mmap.PAGESIZE + self._size, PRIVATE | ANONYMOUS, -1)
            self._first = start + mmap.PAGESIZE
            self._mapped(self._first, self._size, PRIVATE | FIXED, file.fileno())
        self._protect(start, mmap.PAGESIZE)
        # The one reference is the mapping's own: Python never frees the object.
        header = HEADER.pack(1, id(bytes), self._size, NO_HASH)
        ctypes.memmove(self._first - HEADER.size, header, HEADER.size)
        self.content: bytes = ctypes.cast(self._first - HEADER.size, ctypes.py_object).value
        # Kept here: when Python ends, modules may be gone before the object is.
        self._count = sys.getrefcount
        self._references = self._count(self.content)
        self._start, self._length = start, mmap.PAGESIZE + self._size

    def writable(self, size: int) -> memoryview:
        """Returns the first bytes, which can be changed: `content` changes, the file does not.

        Only they count as memory that the process may need.
        """
        size = min(size, self._size)
        self._protect(self._first, size)
        return memoryview((ctypes.c_char * size).from_address(self._first)).cast("B")

    def close(self) -> None:
        """Ends the mapping, unless something holds `content`."""
        if self._start and self._count(self.content) == self._references:
            del self.content
            self._libc.munmap(self._start, self._length)
            self._start = 0

    def __del__(self):
        self.close()

    def _mapped(self, address, size, flags, descriptor):
        reads = mmap.PROT_READ
        result = self._libc.mmap(address, size, reads, flags, descriptor, 0)
        if result == FAILED:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def _protect(self, address, size):
        """Lets the pages of `size` bytes be written."""
        if self._libc.mprotect(address, size, mmap.PROT_READ | mmap.PROT_WRITE):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _libc():
    libc = ctypes.CDLL(None, use_errno=True)
    number, size, address = ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p
    libc.mmap.restype = address
    libc.mmap.argtypes = [address, size, number, number, number, ctypes.c_long]
    libc.mprotect.argtypes = [address, size, number]
    libc.munmap.argtypes = [address, size]
    return libc
