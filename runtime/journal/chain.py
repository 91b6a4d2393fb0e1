"""Records that are chained by their checksums; what a damaged and what an unfinished one is.

A record begins with its step, u32, and ends with a checksum, u32, little-endian: the CRC-32 of its
bytes before, begun with the checksum of the record before, which is the four bytes in front of it.
So a sound record can be told from any place in the file. What stands between, a layout says.
"""

import math
import struct
import zlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

WORD = struct.Struct("<I")
# What a search for sound records may sum. An unfinished record needs half of it at most: none of
# its 16,416 bytes begins more than 16,416.
SEARCH_BYTES = 256 << 20
SEARCHED_TOGETHER = 1 << 16  # places


@dataclass(frozen=True)
class Layout:
    """What the records of one kind of journal hold.

    Attributes:
      magic: the journal's first bytes; the last is the version's digit.
      shortest: length of the shortest record, in bytes.
      size_at: (data, place) -> length of the record that may begin there, 0 of an impossible one.
      are_plausible: (data, first, count) -> whether a record may begin at so many places [count].
      encoded: step -> its record without the checksum.
      decoded: (data, place) -> the step of a sound record.
    """

    magic: bytes
    shortest: int
    size_at: Callable[[bytes, int], int]
    are_plausible: Callable[[bytes, int, int], np.ndarray]
    encoded: Callable[[Any], bytes]
    decoded: Callable[[bytes, int], Any]


class Records(Sequence):
    """Steps of a journal, in order; each is decoded when it is asked for.

    As objects, the steps of a long run would take ten times the journal's bytes.
    """

    def __init__(self, layout: Layout, data: bytes, places: array):
        """Takes a journal's bytes, and where in them each record begins."""
        self._layout, self._data, self._places = layout, data, places

    def __len__(self) -> int:
        return len(self._places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Records(self._layout, self._data, self._places[index])
        return self._layout.decoded(self._data, self._places[index])


def chained(layout: Layout, step: Any, before: int) -> bytes:
    """Returns a step's record.

    Args:
      layout: of the journal.
      step: what the layout encodes.
      before: the checksum of the record before, of the header for the first.

    Raises:
      InputError: more than a record holds.
    """
    record = layout.encoded(step)
    return record + WORD.pack(zlib.crc32(record, before))


def sound_bytes(layout: Layout, data: bytes, place: int, before: int) -> int:
    """Returns the length of the record at a place, 0 where none is whole there.

    Args:
      layout: of the journal.
      data: of the journal.
      place: in it.
      before: the checksum of the record before.
    """
    if len(data) - place < layout.shortest:
        return 0
    size = layout.size_at(data, place)
    if not size or len(data) - place < size:
        return 0
    end = place + size - WORD.size
    checksum = zlib.crc32(memoryview(data)[place:end], before)
    return size if checksum == WORD.unpack_from(data, end)[0] else 0


def step_at(data: bytes, place: int) -> int:
    """Returns the step of the record at a place."""
    return WORD.unpack_from(data, place)[0]


def is_altered_behind(layout: Layout, data: bytes, place: int) -> bool:
    """Whether what stands behind a place was altered: a sound record begins there.

    What a crash left unfinished has none. Every byte is tried: a damaged record's length says
    nothing. Bytes that take more than SEARCH_BYTES of checksums were made to do so.
    """
    return next(_steps_behind(layout, data, place), 0) > 0


def last_step_behind(layout: Layout, data: bytes, place: int) -> int:
    """Returns the highest step of the sound records behind a place, 0 of none."""
    steps = [int(step) for step in _steps_behind(layout, data, place) if math.isfinite(step)]
    return max(steps, default=0)


def _steps_behind(layout, data, place):
    """Yields the step of each sound record behind a place, infinity where the search gets long."""
    left = SEARCH_BYTES
    for start in _plausible_places(layout, data, place + 1):
        if sound_bytes(layout, data, start, WORD.unpack_from(data, start - WORD.size)[0]):
            yield step_at(data, start)
        size = layout.size_at(data, start)
        left -= size if size <= len(data) - start else 0
        if left < 0:
            yield math.inf
            return


def _plausible_places(layout, data, first):
    """Yields where a record may begin: a look at its head spares most of the checksums."""
    end = len(data) - layout.shortest + 1
    for start in range(first, end, SEARCHED_TOGETHER):
        places = min(SEARCHED_TOGETHER, end - start)
        step = np.ndarray(places, "<u4", data, start, strides=(1,))
        is_plausible = (step > 0) & (step <= len(data) // layout.shortest)
        is_plausible &= layout.are_plausible(data, start, places)
        yield from (np.flatnonzero(is_plausible) + start).tolist()
