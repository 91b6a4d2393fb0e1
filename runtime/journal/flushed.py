"""How much of a run's files is on the disk: `flushed`, a mark beside them while a run is under way.

A power failure takes any page that was not flushed, also one in the middle, or leaves zeros in its
place. So a bad record behind the mark was lost, and one before it was altered. The mark is written
over in place, after the flush: what is lost of it says less, never more. A run that ended has none.
On a full disk it stays empty, which says that nothing is known: that needs no space.
"""

import math
import os
import struct
import zlib
from contextlib import contextmanager
from pathlib import Path

from ..errors import RunError
from ..host.files import NO_SPACE, sync_folder

FLUSHED = "flushed"
JOURNAL, METRICS, EVALUATIONS = "journal", "metrics.jsonl", "evaluations.jsonl"
NAMES = (JOURNAL, METRICS, EVALUATIONS)
BYTES = struct.Struct(f"<{len(NAMES)}Q")
WORD = struct.Struct("<I")


def flushed_bytes(folder: Path, name: str) -> float:
    """Returns how many bytes of a file are known to be on the disk; all (infinity) without a mark.

    Args:
      folder: the run directory.
      name: one of NAMES.
    """
    try:
        data = (Path(folder) / FLUSHED).read_bytes()
    except OSError:
        return math.inf
    return _counts(data)[NAMES.index(name)]


def begin_mark(folder: Path) -> None:
    """Flushes a run's files and makes the mark, before more is written; errors: see `flush`."""
    path = Path(folder) / FLUSHED
    with _failures(folder):
        counts = _flush_files(folder)
        with open(path, "ab"):
            pass
        with open(path, "r+b", buffering=0) as mark:
            _write(mark, counts)
            os.fsync(mark.fileno())
        sync_folder(folder)


def flush(folder: Path) -> None:
    """Flushes a run's files, whole records and lines all of them, and says so in the mark.

    Raises:
      RunError: the disk failed, is full or read-only.
    """
    with _failures(folder), open(Path(folder) / FLUSHED, "r+b", buffering=0) as mark:
        before, counts = _counts(mark.read()), _flush_files(folder)
        if any(count and not earlier for count, earlier in zip(counts, before)):
            sync_folder(folder)  # the name of a new file
        _write(mark, counts)


def end_mark(folder: Path) -> None:
    """Flushes a run's files and drops the mark: all of them is on the disk. Errors: `flush`."""
    with _failures(folder):
        _flush_files(folder)
        sync_folder(folder)
        os.unlink(Path(folder) / FLUSHED)


@contextmanager
def _failures(folder):
    try:
        yield
    except OSError as error:  # a file system may say only now that it has no place
        raise RunError(
            f"{folder}: cannot be flushed to the disk: {error.strerror}; the steps before are "
            "kept, free some space and run the same command again: it goes on, or says why not"
        ) from error


def _write(mark, counts):
    """Writes over an open mark; without space for it, it is left empty."""
    mark.seek(0)
    try:
        mark.write(_encoded(counts))
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        mark.truncate(0)


def _flush_files(folder):
    """Returns the bytes of each file, which are on the disk then."""
    return [_flush_file(Path(folder) / name) for name in NAMES]


def _flush_file(path):
    if not path.is_file():
        return 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        os.fsync(file.fileno())
    return size


def _encoded(counts):
    data = BYTES.pack(*counts)
    return data + WORD.pack(zlib.crc32(data))


def _counts(data):
    """Returns the bytes of each file that a mark says, none where it does not fit its checksum."""
    whole = len(data) == BYTES.size + WORD.size
    if not whole or zlib.crc32(data[: BYTES.size]) != WORD.unpack_from(data, BYTES.size)[0]:
        return (0,) * len(NAMES)
    return BYTES.unpack_from(data)
