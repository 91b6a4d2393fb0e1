"""The journal of a run: all that it takes to do the steps again (tflite_models/JOURNAL.md).

A header says what the steps belong to, a record what each step applied. A step counts when its
record is whole. Records are written at once, so that no kill loses one, and flushed to the disk
every second: a power failure loses no more than the last second's steps, whole ones.
"""

import json
import os
import time
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, RunError
from ..host.files import write_bytes
from ..optim.applied import Applied
from .records import WORD, Records, encoded, is_altered_behind, sound_bytes, step_at

JOURNAL = "journal"
MAGIC, MAGIC_1 = b"PLLMJRN2", b"PLLMJRN1"
FLUSH_SECONDS = 1.0


@dataclass(frozen=True)
class Journal:
    """What a journal holds.

    Attributes:
      header: as it was given to `new_journal`.
      steps: from 1 on, without a gap.
      ends: bytes up to the end of the header, and of each step's record.
      checksums: of the header, and of each step's record.
      torn_bytes: behind the last of `ends`: of a step that was never finished.
    """

    header: dict
    steps: Records
    ends: Sequence[int]
    checksums: Sequence[int]
    torn_bytes: int


def new_journal(path: Path, header: dict) -> None:
    """Writes a journal without steps, by rename.

    Raises:
      RunError: the disk is full or read-only.
    """
    text = json.dumps(header, sort_keys=True).encode()
    data = MAGIC + WORD.pack(len(text)) + text
    write_bytes(path, data + WORD.pack(zlib.crc32(data)))


def check_version(path: Path) -> None:
    """Raises InputError where a file is there and a journal of an earlier version."""
    if path.is_file():
        with path.open("rb") as file:
            _refuse_version_1(file.read(len(MAGIC_1)), path)


def read_journal(path: Path) -> Journal:
    """Reads a journal; what was not finished at its end is left out.

    Raises:
      InputError: not there, or damaged: a record that does not fit its checksum and has a sound
        one behind it was altered, not cut off. So were bytes made to take long to check.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; give the --run directory of `pocketllm train`"
        ) from error
    header, end, checksum = _header(data, path)
    ends, checksums = array("Q", [end]), array("I", [checksum])
    while size := sound_bytes(data, end, checksum):
        number = len(ends)
        if step_at(data, end) != number:
            raise InputError(
                f"{path}: record {number} holds step {step_at(data, end)}, expected step {number}; "
                "it was written by another version, use that one"
            )
        end += size
        checksum = WORD.unpack_from(data, end - WORD.size)[0]
        ends.append(end)
        checksums.append(checksum)
    if is_altered_behind(data, end):
        raise InputError(
            f"{path}: record {len(ends)} is damaged (its checksum does not fit); the steps before "
            "it are sound, but the file was altered: restore it from a copy"
        )
    return Journal(header, Records(data, ends[:-1]), ends, checksums, len(data) - end)


class JournalWriter:
    """Appends steps to a journal; what was not finished at its end is overwritten."""

    def __init__(self, path: Path):
        """Opens a journal. Raises InputError or RunError if it is damaged or read-only."""
        journal = read_journal(path)
        self.count = len(journal.steps)  # steps written
        # Of the last record and the one before, which `drop_last` goes back to.
        self._ends, self._checksums = list(journal.ends[-2:]), list(journal.checksums[-2:])
        self._path = path
        self._flushed = time.monotonic()
        try:
            self._file = os.open(path, os.O_WRONLY)
            os.ftruncate(self._file, self._ends[-1])
        except OSError as error:
            raise self._failure(error) from error

    @property
    def checksum(self) -> int:
        """Of the last record, of the header without any."""
        return self._checksums[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def append(self, applied: Applied) -> None:
        """Writes a step's record; it counts from here on.

        Raises:
          InputError: more losses or passes than a record holds.
          RunError: the disk is full; the steps before are kept.
        """
        record, end = encoded(applied, self.checksum), self._ends[-1]
        try:
            written = 0
            while written < len(record):  # less where the disk fills up, which the next call says
                written += os.pwrite(self._file, record[written:], end + written)
            if time.monotonic() - self._flushed >= FLUSH_SECONDS:
                os.fsync(self._file)
                self._flushed = time.monotonic()
        except OSError as error:
            raise self._failure(error) from error
        self.count += 1
        self._ends = [end, end + len(record)]
        self._checksums = [self.checksum, WORD.unpack_from(record, len(record) - WORD.size)[0]]

    def drop_last(self) -> None:
        """Takes back the step that was appended last, once."""
        self.count -= 1
        self._ends.pop()
        self._checksums.pop()
        os.ftruncate(self._file, self._ends[-1])

    def close(self) -> None:
        """Flushes to the disk and closes; raises RunError where the disk is full."""
        try:
            os.fsync(self._file)
        except OSError as error:  # a file system may say only now that it has no place
            raise self._failure(error) from error
        finally:
            os.close(self._file)

    def _failure(self, error):
        return RunError(
            f"{self._path}: cannot be written: {error.strerror}; the steps before are kept, free "
            "some space and run the same command again: it goes on"
        )


def _header(data, path):
    """Returns (header, where the records begin, the header's checksum)."""
    _refuse_version_1(data, path)
    begin = len(MAGIC) + WORD.size
    size = WORD.unpack(data[len(MAGIC) : begin])[0] if len(data) >= begin else 0
    summed = data[: begin + size]
    if not data.startswith(MAGIC) or len(data) < begin + size + WORD.size:
        raise InputError(
            f"{path}: no journal of version 2; give the --run directory of a journalled run"
        )
    checksum = zlib.crc32(summed)
    try:
        if checksum != WORD.unpack_from(data, begin + size)[0]:
            raise ValueError("its checksum does not fit")
        header = json.loads(summed[begin:])
        if not isinstance(header, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: the header is damaged ({error}); restore the file from a copy"
        ) from error
    return header, begin + size + WORD.size, checksum


def _refuse_version_1(data, path):
    """Raises InputError for the first bytes of a journal of version 1."""
    if data.startswith(MAGIC_1):
        raise InputError(
            f"{path}: a journal of version 1, this pocketllm reads version 2; start a new --run, "
            "or use the version that wrote it"
        )
