"""Reads Debian packages and wheels: {path inside: (contents, executable)}.

Neither is trusted: a name that leaves its folder, a member that is neither file, folder nor
symbolic link, and more bytes than the lock file says are refused; nothing is written here.
"""

import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from pocketllm.runtime.errors import InputError

from .lock import MOST_BYTES, WHEEL, Package
from .members import FILE, FOLDER, LINK, MOST_MEMBERS, check_members, link_target, member_path

AR_MAGIC, AR_HEADER_BYTES, AR_END = b"!<arch>\n", 60, b"`\n"
XZ_MEMORY = 200_000_000  # a dictionary of 64 MiB is the largest that xz has a level for
TAR_MEMBER_BYTES = 2048  # more than a header and padding
ENCRYPTED = 1  # a bit of a zip member's flags
File = tuple[bytes, bool]
Files = dict[str, File]
# What the readers of archives raise for whatever they cannot read.
UNREADABLE = (
    ValueError, ArithmeticError, LookupError, EOFError, OSError, NotImplementedError, RuntimeError,
    MemoryError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error,
)  # fmt: skip


def read_package(package: Package, path: Path) -> Files:
    """Reads a package; a symbolic link becomes the file it points at in the package.

    Args:
      package: its kind, and how many bytes its files have at most.
      path: its file.

    Raises:
      InputError: the file is no such package, or a hostile one.
    """
    name = "wheel" if package.kind == WHEEL else "Debian package"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        return (_read_wheel if package.kind == WHEEL else _read_deb)(path, package.unpacked)
    except UNREADABLE as error:
        line = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: no {name} ({line}); remove the file") from error


def _read_deb(path, limit):
    name, data = _data_member(path.read_bytes())
    stream: Any = _Limited(_decompressed(name, data), limit + MOST_MEMBERS * TAR_MEMBER_BYTES)
    files, links, members, left = {}, {}, [], limit
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            kind = _kind(member)
            path_inside = member_path(member.name, kind)
            members.append((path_inside, kind))
            if kind == LINK:
                links[path_inside] = link_target(path_inside, member.linkname)
            elif kind == FILE:
                left = _less(left, member.size, limit)
                file = archive.extractfile(member)
                content = file.read(member.size) if file else b""
                if len(content) != member.size:
                    raise ValueError(f"{member.name!r}: cut short")
                files[path_inside] = content, bool(member.mode & 0o100)
    check_members(members)
    return files | {name: files[target] for name, target in links.items() if target in files}


def _read_wheel(path, limit):
    files, members, left = {}, [], limit
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            kind = FOLDER if member.is_dir() else FILE
            mode = stat.S_IFMT(member.external_attr >> 16)
            if mode not in (0, stat.S_IFDIR if kind == FOLDER else stat.S_IFREG):
                raise ValueError(f"{member.filename!r}: neither a file nor a folder")
            if member.flag_bits & ENCRYPTED:
                raise ValueError(f"{member.filename!r}: encrypted")
            name = member_path(member.orig_filename, kind)
            members.append((name, kind))
            if kind == FILE:
                # zipfile reads no more than this, and compares the CRC
                left = _less(left, member.file_size, limit)
                files[name] = archive.read(member), False
    check_members(members)
    return files


def _data_member(archive: bytes) -> tuple[str, bytes]:
    """Returns name and contents of data.tar.* in an ar archive.

    A member has a header of 60 bytes and an even size.
    """
    if not archive.startswith(AR_MAGIC):
        raise ValueError("no ar archive")
    start = len(AR_MAGIC)
    while start < len(archive):
        header = archive[start : start + AR_HEADER_BYTES]
        name, digits = header[:16].decode("ascii").strip(" /"), header[48:58].strip()
        start += AR_HEADER_BYTES
        if header[58:] != AR_END or not digits.isdigit() or start + int(digits) > len(archive):
            raise ValueError("damaged ar archive")
        if name.startswith("data.tar"):
            return name, archive[start : start + int(digits)]
        start += int(digits) + int(digits) % 2
    raise ValueError("no data.tar in it")


def _decompressed(name, data):
    if name == "data.tar.xz":
        return _Xz(data)
    if name == "data.tar.gz":
        return gzip.GzipFile(fileobj=io.BytesIO(data))
    if name == "data.tar":
        return io.BytesIO(data)
    raise ValueError(f"{name}: neither .xz nor .gz")


class _Xz:
    """A .xz file's contents; its dictionary is bounded, which `lzma.open` does not do."""

    def __init__(self, data: bytes):
        self._decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
        self._data = data

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0 and not self._decompressor.eof:
            part = self._decompressor.decompress(self._data, size)
            if not part and self._decompressor.needs_input:
                raise EOFError("cut short")
            self._data = b""
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class _Limited:
    """A stream that ends in an error when it gives more bytes than a limit."""

    def __init__(self, stream, limit: int):
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("larger than the lock file says")
        return data


def _less(left, size, limit):
    """Returns how many bytes are left for further members."""
    if not 0 <= size <= left:
        raise ValueError(f"more than {limit:,} bytes unpacked, which the lock file says")
    return left - size


def _kind(member):
    if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse():
        return FILE
    if member.isdir():
        return FOLDER
    if member.issym():
        return LINK
    raise ValueError(f"{member.name!r}: neither a file, a folder nor a {LINK}")
