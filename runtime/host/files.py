"""Files that are whole or not there: written beside, flushed, renamed, the name flushed too.

Until its folder is flushed, a power failure may undo that a file was made, renamed or removed.
"""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import InputError, RunError
from .partials import partial_path, sweep_beside, under_way

READ_BYTES = 1 << 20
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
# What file systems answer that do not flush folders (some of FUSE, of networks).
UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM)


def check_writable(path: Path) -> None:
    """Makes the folder of a file that will be written, and a file beside it, which goes again.

    Raises:
      InputError: a folder or device stands where the file should, or none can be made there.
      RunError: the disk is full.
    """
    path = Path(path)
    try:
        _check_kind(path)
        make_folders(path.parent)
        beside = partial_path(path)
        beside.touch()
        beside.unlink()
    except OSError as error:
        kind = RunError if error.errno in NO_SPACE else InputError
        raise kind(f"{path}: cannot be written: {error.strerror}; choose another path") from error


def _check_kind(path):
    """Raises InputError where a folder or a device has the name of a file to write."""
    if path.is_dir():
        raise InputError(f"{path}: a folder, expected a file to write; choose another path")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: exists and is no file; choose another path")


@contextmanager
def path_beside(path: Path) -> Iterator[Path]:
    """Yields an empty file beside `path`, which replaces `path` when the block ends well.

    It is flushed to the disk first; the folder is made. What dead processes left is removed.

    Raises:
      InputError: a folder or device stands where the file should.
      RunError: it cannot be written.
    """
    path = Path(path)
    beside = partial_path(path)
    try:
        _check_kind(path)
        make_folders(path.parent)
        sweep_beside(path)
        beside.touch()
        with under_way(beside):
            yield beside
            with open(beside, "rb") as file:
                os.fsync(file.fileno())
            os.replace(beside, path)
            sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):  # where the folder is no folder, say
            beside.unlink()
        if isinstance(error, OSError):
            raise RunError(
                f"{path}: cannot be written: {error.strerror}; what was there before stays: free "
                "some space, or choose another path, and run the same command again"
            ) from error
        raise


@contextmanager
def written_beside(path: Path) -> Iterator[BinaryIO]:
    """Yields a file open for writing that replaces `path` in the end; errors as `path_beside`."""
    with path_beside(path) as beside, open(beside, "wb") as file:
        yield file


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file by rename; errors are those of `written_beside`."""
    with written_beside(path) as file:
        file.write(data)


def write_json(path: Path, value: dict | list) -> None:
    """Writes a JSON object or array, indented, by rename."""
    write_bytes(path, json_bytes(value))


def replace_json(path: Path, value: dict) -> None:
    """Writes one JSON object by rename, nothing where the file holds these bytes already."""
    data = json_bytes(value)
    with suppress(OSError):
        if Path(path).read_bytes() == data:
            return
    write_bytes(path, data)


def json_bytes(value: dict | list) -> bytes:
    """Returns a JSON object or array as files hold it: indented, UTF-8."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def read_json(path: Path, remedy: str) -> dict:
    """Reads one JSON object.

    Args:
      path: the file.
      remedy: the end of the error message: what to do if the file is missing or broken.

    Raises:
      InputError: missing, unreadable, or not one JSON object.
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: a JSON {type(value).__name__}, expected an object; {remedy}")
    return value


def sha256_of(path: Path) -> str:
    """Returns the sha256 of a file in hex, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Flushes the names in a folder, where its file system can. Raises OSError."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def sync_tree(folder: Path) -> None:
    """Flushes all files in a folder, and all names in it and below. Raises OSError."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))


def make_folders(folder: Path) -> None:
    """Makes a folder and those above it where they are missing, and flushes the names.

    Raises:
      OSError: it cannot be made, or a file stands there.
    """
    missing = []
    path = Path(folder).absolute()
    while not path.exists():
        missing.append(path)
        path = path.parent
    if not path.is_dir():  # `mkdir` would say that the file exists
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)
