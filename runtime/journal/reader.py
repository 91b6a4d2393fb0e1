"""The journal of a run (tflite_models/JOURNAL.md).

A header says what the steps belong to, a record what each step applied, or measured: the first
bytes say which. A step counts when its record is whole.
"""

import json
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .chain import (
    WORD,
    Layout,
    Records,
    is_altered_behind,
    last_step_behind,
    sound_bytes,
    step_at,
)
from .descents import DESCENTS
from .flushed import JOURNAL, flushed_bytes
from .records import APPLIED

LAYOUTS = (APPLIED, DESCENTS)
MAGIC_BYTES = len(APPLIED.magic)


@dataclass(frozen=True)
class Journal:
    """What a journal holds.

    Attributes:
      layout: of its records, one of LAYOUTS.
      header: as it was given to `new_journal`.
      steps: from 1 on, without a gap.
      ends: bytes up to the end of the header, and of each step's record.
      checksums: of the header, and of each step's record.
      torn_bytes: behind the last of `ends`: of a step that was never finished, or of steps that a
        power failure took from the middle of what was not flushed.
      lost_steps: at least so many, among the torn bytes.
    """

    layout: Layout
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
            _layout(file.read(MAGIC_BYTES), path)


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
    layout = _layout(data, path)
    if layout is None:
        raise _no_journal(path)
    header, end, checksum = _header(data, path)
    ends, checksums = array("Q", [end]), array("I", [checksum])
    while size := sound_bytes(layout, data, end, checksum):
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
    if end < flushed if has_mark else is_altered_behind(layout, data, end):
        raise InputError(
            f"{path}: record {len(ends)} is damaged (its checksum does not fit); the steps before "
            "it are sound, but the file was altered: restore it from a copy"
        )
    lost = last_step_behind(layout, data, end) - len(ends) + 1 if has_mark else 0
    records, torn_bytes = Records(layout, data, ends[:-1]), len(data) - end
    return Journal(layout, header, records, ends, checksums, torn_bytes, max(0, lost))


def _header(data, path):
    """Returns (header, where the records begin, the header's checksum)."""
    begin = MAGIC_BYTES + WORD.size
    size = WORD.unpack(data[MAGIC_BYTES:begin])[0] if len(data) >= begin else 0
    summed = data[: begin + size]
    if len(data) < begin + size + WORD.size:
        raise _no_journal(path)
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


def _layout(data, path):
    """Returns the layout that a file's first bytes name, None of a file that is no journal.

    Raises:
      InputError: a journal of another version.
    """
    for layout in LAYOUTS:
        name, version = layout.magic[:-1], data[MAGIC_BYTES - 1 : MAGIC_BYTES]
        if data.startswith(layout.magic):
            return layout
        if data.startswith(name) and version.isdigit():
            raise InputError(
                f"{path}: a journal of version {version.decode()}, this pocketllm reads version "
                f"{layout.magic[-1:].decode()}; train again in a new --run, or use the version "
                "that wrote this one"
            )
    return None


def _no_journal(path):
    return InputError(f"{path}: no journal; give the --run directory of `pocketllm train`")
