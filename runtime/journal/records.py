"""A journal's records as bytes; what a damaged and what an unfinished one is.

A record is a head, the losses, the passes and a checksum, all little-endian. The checksum is the
CRC-32 of the bytes before it, begun with the checksum of the record before, which are the four
bytes in front of the record: so a sound record can be told from any place in the file.
"""

import math
import struct
import zlib
from array import array
from collections.abc import Sequence
from typing import overload

import numpy as np

from ..errors import InputError
from ..optim.applied import Applied, Pass

WORD = struct.Struct("<I")
HEAD = struct.Struct("<IHHddf")  # step, number of losses, number of passes, lr, eps, decay
LOSS = struct.Struct("<d")
PASS = struct.Struct("<if")  # seed, scale
MOST_LOSSES = MOST_PASSES = 1024  # of a record
# What a search for sound records may sum. An unfinished record needs half of it at most: none of
# its 16,416 bytes begins more than 16,416.
SEARCH_BYTES = 256 << 20
SEARCHED_TOGETHER = 1 << 16  # places


def record_bytes(losses: int, passes: int) -> int:
    """Returns the length of a record of so many losses and passes."""
    return HEAD.size + losses * LOSS.size + passes * PASS.size + WORD.size


SHORTEST = record_bytes(0, 0)


class Records(Sequence[Applied]):
    """Steps of a journal, in order; each is decoded when it is asked for.

    As objects, the steps of a long run would take ten times the journal's bytes.
    """

    def __init__(self, data: bytes, places: array):
        """Takes a journal's bytes, and where in them each record begins."""
        self._data, self._places = data, places

    def __len__(self) -> int:
        return len(self._places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    @overload
    def __getitem__(self, index: int) -> Applied: ...

    @overload
    def __getitem__(self, index: slice) -> "Records": ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Records(self._data, self._places[index])
        return _decoded(self._data, self._places[index])


def encoded(applied: Applied, before: int) -> bytes:
    """Returns a step's record.

    Args:
      applied: the step.
      before: the checksum of the record before, of the header for the first.

    Raises:
      InputError: more losses or passes than a record holds.
    """
    losses, passes = applied.losses, applied.passes
    if len(losses) > MOST_LOSSES or len(passes) > MOST_PASSES:
        raise InputError(
            f"step {applied.step}: {len(losses)} losses and {len(passes)} passes, a journal's "
            f"record holds {MOST_LOSSES} and {MOST_PASSES} at most; take fewer a step"
        )
    head = HEAD.pack(applied.step, len(losses), len(passes), applied.lr, applied.eps, applied.decay)
    record = b"".join([head, *map(LOSS.pack, losses), *(PASS.pack(*entry) for entry in passes)])
    return record + WORD.pack(zlib.crc32(record, before))


def sound_bytes(data: bytes, place: int, before: int) -> int:
    """Returns the length of the record at a place, 0 where none is whole there.

    Args:
      data: of the journal.
      place: in it.
      before: the checksum of the record before.
    """
    if len(data) - place < SHORTEST:
        return 0
    losses, passes = HEAD.unpack_from(data, place)[1:3]
    size = record_bytes(losses, passes)
    if losses > MOST_LOSSES or passes > MOST_PASSES or len(data) - place < size:
        return 0
    end = place + size - WORD.size
    checksum = zlib.crc32(memoryview(data)[place:end], before)
    return size if checksum == WORD.unpack_from(data, end)[0] else 0


def step_at(data: bytes, place: int) -> int:
    """Returns the step of the record at a place."""
    return WORD.unpack_from(data, place)[0]


def is_altered_behind(data: bytes, place: int) -> bool:
    """Whether what stands behind a place was altered: a sound record begins there.

    What a crash left unfinished has none. Every byte is tried: a damaged record's length says
    nothing. Bytes that take more than SEARCH_BYTES of checksums were made to do so.
    """
    return next(_steps_behind(data, place), 0) > 0


def last_step_behind(data: bytes, place: int) -> int:
    """Returns the highest step of the sound records behind a place, 0 of none."""
    steps = [int(step) for step in _steps_behind(data, place) if math.isfinite(step)]
    return max(steps, default=0)


def _steps_behind(data, place):
    """Yields the step of each sound record behind a place, infinity where the search gets long."""
    left = SEARCH_BYTES
    for start in _plausible_places(data, place + 1):
        if sound_bytes(data, start, WORD.unpack_from(data, start - WORD.size)[0]):
            yield step_at(data, start)
        size = record_bytes(*HEAD.unpack_from(data, start)[1:3])
        left -= size if size <= len(data) - start else 0
        if left < 0:
            yield math.inf
            return


def _plausible_places(data, first):
    """Yields where a record may begin: a look at its head spares most of the checksums."""
    end = len(data) - SHORTEST + 1
    for start in range(first, end, SEARCHED_TOGETHER):
        places = min(SEARCHED_TOGETHER, end - start)
        step = np.ndarray(places, "<u4", data, start, strides=(1,))
        losses, passes = (
            np.ndarray(places, "<u2", data, start + offset, strides=(1,)) for offset in (4, 6)
        )
        is_plausible = (step > 0) & (step <= len(data) // SHORTEST)
        is_plausible &= (losses <= MOST_LOSSES) & (passes <= MOST_PASSES)
        yield from (np.flatnonzero(is_plausible) + start).tolist()


def _decoded(data, place):
    step, losses, passes, lr, eps, decay = HEAD.unpack_from(data, place)
    first = place + HEAD.size
    middle = first + losses * LOSS.size
    entries = PASS.iter_unpack(memoryview(data)[middle : middle + passes * PASS.size])
    return Applied(
        step,
        struct.unpack_from(f"<{losses}d", data, first),
        lr,
        eps,
        tuple(map(Pass._make, entries)),
        decay,
    )
