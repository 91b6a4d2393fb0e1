"""Reads Debian packages and wheels: {path inside: (contents, executable)}."""

import io
import posixpath
import tarfile
import zipfile
from pathlib import Path

from pocketllm.runtime.errors import InputError

AR_MAGIC, AR_HEADER_BYTES = b"!<arch>\n", 60
Files = dict[str, tuple[bytes, bool]]


def read_deb(path: Path) -> Files:
    """Reads a Debian package; a symbolic link becomes the file it points at in the package.

    Raises:
      InputError: the file is no Debian package that this Python can read.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(_data_member(path.read_bytes()))) as archive:
            files = {
                _plain(member.name): (_content(archive, member), bool(member.mode & 0o100))
                for member in archive
                if member.isfile()
            }
            links = {_plain(m.name): _target(m) for m in archive if m.issym()}
    except (ValueError, tarfile.TarError, OSError) as error:
        raise InputError(f"{path}: no Debian package ({error}); remove the file") from error
    return files | {name: files[target] for name, target in links.items() if target in files}


def read_wheel(path: Path) -> Files:
    """Reads a wheel.

    Raises:
      InputError: the file is no wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            return {name: (archive.read(name), False) for name in names}
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: no wheel ({error}); remove the file") from error


def _data_member(archive: bytes) -> bytes:
    """Returns data.tar.* of an ar archive; a member has a header of 60 bytes and an even size."""
    if not archive.startswith(AR_MAGIC):
        raise ValueError("no ar archive")
    start = len(AR_MAGIC)
    while start < len(archive):
        header = archive[start : start + AR_HEADER_BYTES]
        name, size = header[:16].decode("ascii").strip(" /"), int(header[48:58])
        start += AR_HEADER_BYTES
        if name.startswith("data.tar"):
            return archive[start : start + size]
        start += size + size % 2
    raise ValueError("no data.tar in it")


def _content(archive, member):
    file = archive.extractfile(member)
    assert file is not None, "only files are asked for"
    return file.read()


def _plain(name):
    return posixpath.normpath(name).lstrip("/")


def _target(member):
    return _plain(posixpath.join(posixpath.dirname(member.name), member.linkname))
