"""Writing the journal of a run (tflite_models/JOURNAL.md).

Records are written at once, so that no kill loses one, and flushed to the disk every second and
before whatever takes long: a power failure loses no more than the last second's steps. `flushed`
(flushed.py) says where the last flush was.
"""

import json
import os
import time
import zlib
from pathlib import Path

from ..errors import RunError
from ..host.files import write_bytes
from ..optim.applied import Applied
from ..optim.gradients import Descent
from .chain import WORD, Layout, chained
from .flushed import begin_mark, end_mark, flush
from .reader import read_journal
from .records import APPLIED

FLUSH_SECONDS = 1.0


def new_journal(path: Path, header: dict, layout: Layout = APPLIED) -> None:
    """Writes a journal without steps, by rename.

    Args:
      path: of the journal.
      header: what the steps belong to.
      layout: of its records.

    Raises:
      RunError: the disk is full or read-only.
    """
    text = json.dumps(header, sort_keys=True).encode()
    data = layout.magic + WORD.pack(len(text)) + text
    write_bytes(path, data + WORD.pack(zlib.crc32(data)))


class JournalWriter:
    """Appends steps to a journal; what was not finished at its end, or lost, is cut off."""

    def __init__(self, path: Path):
        """Opens a journal. Raises InputError or RunError if it is damaged or read-only."""
        journal = read_journal(path)
        self.count, self._layout = len(journal.steps), journal.layout
        # Of the last record and the one before, which `drop_last` goes back to.
        self._ends, self._checksums = list(journal.ends[-2:]), list(journal.checksums[-2:])
        self._path = path
        self._flushed = time.monotonic()
        try:
            self._file = os.open(path, os.O_WRONLY)
            os.ftruncate(self._file, self._ends[-1])
            os.fsync(self._file)
        except OSError as error:
            raise self._failure(error) from error
        begin_mark(path.parent)

    @property
    def checksum(self) -> int:
        """Of the last record, of the header without any."""
        return self._checksums[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def append(self, step: Applied | Descent) -> None:
        """Writes a step's record; it counts from here on.

        Raises:
          InputError: more losses or passes than a record holds.
          RunError: the disk is full; the steps before are kept.
        """
        record, end = chained(self._layout, step, self.checksum), self._ends[-1]
        try:
            written = 0
            while written < len(record):  # less where the disk fills up, which the next call says
                written += os.pwrite(self._file, record[written:], end + written)
        except OSError as error:
            raise self._failure(error) from error
        self.count += 1
        self._ends = [end, end + len(record)]
        self._checksums = [self.checksum, WORD.unpack_from(record, len(record) - WORD.size)[0]]
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Flushes the run's files to the disk; raises RunError where it is full."""
        flush(self._path.parent)
        self._flushed = time.monotonic()

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
            end_mark(self._path.parent)
        except OSError as error:
            raise self._failure(error) from error
        finally:
            os.close(self._file)

    def _failure(self, error):
        return RunError(
            f"{self._path}: cannot be written: {error.strerror}; the steps before are kept, free "
            "some space and run the same command again: it goes on"
        )
