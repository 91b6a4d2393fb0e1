"""The journal of a MeZO run: all that it takes to do the steps again (tflite_models/JOURNAL.md).

A header says what the steps belong to, a record of 56 bytes what each step did. A step counts when
its record is whole. Records are written at once, so that no kill loses one, and flushed to the disk
every second: a power failure loses no more than the last second's steps, whole ones.
"""

import json
import os
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, RunError
from ..host.files import write_bytes
from ..optim.mezo import MezoStep, last_scale

JOURNAL = "journal"
MAGIC = b"PLLMJRN1"
FLUSH_SECONDS = 1.0
_WORD = struct.Struct("<I")
# step, seed, loss_plus, loss_minus, projected_grad, lr, eps, the last pass's scale
_RECORD = struct.Struct("<Iidddddf")
RECORD_BYTES = _RECORD.size + _WORD.size


@dataclass(frozen=True)
class Journal:
    """What a journal holds.

    Attributes:
      header: as it was given to `new_journal`.
      steps: from 1 on, without a gap.
      eps: size of the probe, None without steps.
      end: bytes up to the last sound record; what stands behind it was never finished.
      torn_bytes: behind `end`.
      seals: checksums of the header and of each step's record, which the next one's begins with.
    """

    header: dict
    steps: list[MezoStep]
    eps: float | None
    end: int
    torn_bytes: int
    seals: list[int]


def new_journal(path: Path, header: dict) -> None:
    """Writes a journal without steps, by rename.

    Raises:
      RunError: the disk is full or read-only.
    """
    text = json.dumps(header, sort_keys=True).encode()
    data = MAGIC + _WORD.pack(len(text)) + text
    write_bytes(path, data + _WORD.pack(zlib.crc32(data)))


def read_journal(path: Path) -> Journal:
    """Reads a journal; what was not finished at its end is left out.

    Raises:
      InputError: not there, or damaged: a record that does not fit its checksum and has a sound
        one behind it was altered, not cut off.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; give the --run directory of `pocketllm train`"
        ) from error
    header, first, checksum = _header(data, path)
    count = (len(data) - first) // RECORD_BYTES
    places = range(first, first + count * RECORD_BYTES, RECORD_BYTES)
    records = [data[place : place + RECORD_BYTES] for place in places]
    before = [checksum, *(_checksum_of(record) for record in records)]
    sound = [_is_sound(record, seal) for record, seal in zip(records, before)]
    whole = sound.index(False) if False in sound else count
    if any(sound[whole:]):
        raise InputError(
            f"{path}: record {whole + 1} of {count} is damaged (its checksum does not fit); the "
            "steps before it are sound, but the file was altered: restore it from a copy"
        )
    steps, eps = _steps(records[:whole], path)
    end = first + whole * RECORD_BYTES
    return Journal(header, steps, eps, end, len(data) - end, before[: whole + 1])


class JournalWriter:
    """Appends steps to a journal; what was not finished at its end is overwritten."""

    def __init__(self, path: Path):
        """Opens a journal. Raises InputError or RunError if it is damaged or read-only."""
        held = read_journal(path)
        self.count = len(held.steps)  # steps written
        self._path, self._end, self._seals = path, held.end, held.seals[-2:]
        self._flushed = time.monotonic()
        try:
            self._file = os.open(path, os.O_WRONLY)
            os.ftruncate(self._file, held.end)
        except OSError as error:
            raise self._failure(error) from error

    @property
    def seal(self) -> int:
        """Checksum of the last record, of the header without any."""
        return self._seals[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def append(self, step: MezoStep, eps: float) -> None:
        """Writes a step's record; it counts from here on.

        Raises:
          RunError: the disk is full; the steps before are kept.
        """
        scale = last_scale(step, eps)
        values = (step.loss_plus, step.loss_minus, step.projected_grad, step.lr, eps, scale)
        record = _RECORD.pack(step.step, step.seed, *values)
        checksum = zlib.crc32(record, self._seals[-1])
        record += _WORD.pack(checksum)
        try:
            written = 0
            while written < RECORD_BYTES:  # less where the disk fills up, which the next call says
                written += os.pwrite(self._file, record[written:], self._end + written)
            if time.monotonic() - self._flushed >= FLUSH_SECONDS:
                os.fsync(self._file)
                self._flushed = time.monotonic()
        except OSError as error:
            raise self._failure(error) from error
        self.count += 1
        self._end += RECORD_BYTES
        self._seals = [self._seals[-1], checksum]

    def drop_last(self) -> None:
        """Takes back the step that was appended last, once."""
        self.count -= 1
        self._end -= RECORD_BYTES
        self._seals.pop()
        os.ftruncate(self._file, self._end)

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
    begin = len(MAGIC) + _WORD.size
    size = _WORD.unpack(data[len(MAGIC) : begin])[0] if len(data) >= begin else 0
    sealed = data[: begin + size]
    if not data.startswith(MAGIC) or len(data) < begin + size + _WORD.size:
        raise InputError(f"{path}: no journal of version 1; give the --run directory of a MeZO run")
    checksum = zlib.crc32(sealed)
    try:
        if checksum != _WORD.unpack_from(data, begin + size)[0]:
            raise ValueError("its checksum does not fit")
        header = json.loads(sealed[begin:])
        if not isinstance(header, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: the header is damaged ({error}); restore the file from a copy"
        ) from error
    return header, begin + size + _WORD.size, checksum


def _checksum_of(record):
    return _WORD.unpack_from(record, _RECORD.size)[0]


def _is_sound(record, before):
    return zlib.crc32(record[: _RECORD.size], before) == _checksum_of(record)


def _steps(records, path):
    """Returns (the steps, their eps); records that were sealed and yet do not fit are refused."""
    steps, eps = [], None
    for number, record in enumerate(records, 1):
        step, seed, plus, minus, projected_grad, lr, probe, scale = _RECORD.unpack(
            record[: _RECORD.size]
        )
        taken = MezoStep(step, seed, plus, minus, projected_grad, lr)
        eps = probe if eps is None else eps
        if step != number or probe != eps or scale != last_scale(taken, eps):
            raise InputError(
                f"{path}: record {number} holds step {step}, eps {probe:g}, scale {scale:g}, "
                f"expected step {number}, eps {eps:g}, scale {last_scale(taken, eps):g}; it was "
                "written by another version, use that one"
            )
        steps.append(taken)
    return steps, eps
