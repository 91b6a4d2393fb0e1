"""The journal of a run: all that it takes to do the steps again (tflite_models/JOURNAL.md).

A header says what the steps belong to, a record what each step applied. A step counts when its
record is whole.
"""

import json
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import contract
from ..errors import InputError
from .flushed import JOURNAL, flushed_bytes
from .records import WORD, Records, is_altered_behind, last_step_behind, sound_bytes, step_at

NAME = b"PLLMJRN"  # the first bytes, before the version's digit
MAGIC = NAME + b"%d" % contract.JOURNAL_VERSION


@dataclass(frozen=True)
class Journal:
    """What a journal holds.

    Attributes:
      header: as it was given to `new_journal`.
      steps: from 1 on, without a gap.
      ends: bytes up to the end of the header, and of each step's record.
      checksums: of the header, and of each step's record.
      torn_bytes: behind the last of `ends`: of a step that was never finished, or of steps that a
        power failure took from the middle of what was not flushed.
      lost_steps: at least so many, among the torn bytes.
    """

    header: dict
    steps: Records
    ends: Sequence[int]
    checksums: Sequence[int]
    torn_bytes: int
    lost_steps: int


def check_version(path: Path) -> None:
    """Raises InputError where a file is there and a journal of another version."""
    if path.is_file():
        with path.open("rb") as file:
            _refuse_other_version(file.read(len(MAGIC)), path)


def read_journal(path: Path) -> Journal:
    """Reads a journal; what was not finished at its end, or lost, is left out.

    Where the mark beside it says how much was flushed (flushed.py), all behind the first bad record
    beyond that was lost.

    Raises:
      InputError: not there, or damaged: a record that does not fit its checksum was flushed, or,
        without a mark, has a sound one behind it: it was altered, not cut off. So were bytes made
        to take long to check.
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
    flushed = flushed_bytes(Path(path).parent, JOURNAL)
    # A file that is shorter than the mark was cut by hand, or is a copy: the mark says nothing.
    has_mark = flushed <= len(data)
    if end < flushed if has_mark else is_altered_behind(data, end):
        raise InputError(
            f"{path}: record {len(ends)} is damaged (its checksum does not fit); the steps before "
            "it are sound, but the file was altered: restore it from a copy"
        )
    lost = last_step_behind(data, end) - len(ends) + 1 if has_mark else 0
    return Journal(header, Records(data, ends[:-1]), ends, checksums, len(data) - end, max(0, lost))


def _header(data, path):
    """Returns (header, where the records begin, the header's checksum)."""
    _refuse_other_version(data, path)
    begin = len(MAGIC) + WORD.size
    size = WORD.unpack(data[len(MAGIC) : begin])[0] if len(data) >= begin else 0
    summed = data[: begin + size]
    if not data.startswith(MAGIC) or len(data) < begin + size + WORD.size:
        raise InputError(
            f"{path}: no journal of version {contract.JOURNAL_VERSION}; give the --run directory "
            "of a journalled run"
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


def _refuse_other_version(data, path):
    """Raises InputError for the first bytes of a journal of another version."""
    version = data[len(NAME) : len(MAGIC)]
    if data.startswith(NAME) and version.isdigit() and not data.startswith(MAGIC):
        raise InputError(
            f"{path}: a journal of version {version.decode()}, this pocketllm reads version "
            f"{contract.JOURNAL_VERSION}; train again in a new --run, or use the version that "
            "wrote this one"
        )
