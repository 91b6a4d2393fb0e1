"""A journal's records as bytes; what a damaged and what an unfinished one is.

A record is a head, the losses, the passes and a checksum, all little-endian. The checksum is the
CRC-32 of the bytes before it, begun with the checksum of the record before, which are the four
bytes in front of the record: so a sound record can be told from any place in the file.
"""

import struct
import zlib
from array import array
from collections.abc import Sequence
from typing import overload

from ..optim.applied import Applied, Pass

WORD = struct.Struct("<I")
HEAD = struct.Struct("<IHHddf")  # step, number of losses, number of passes, lr, eps, decay
LOSS = struct.Struct("<d")
PASS = struct.Struct("<if")  # seed, scale


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
    """
    losses, passes = applied.losses, applied.passes
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
    size = record_bytes(*HEAD.unpack_from(data, place)[1:3])
    if len(data) - place < size:
        return 0
    end = place + size - WORD.size
    checksum = zlib.crc32(memoryview(data)[place:end], before)
    return size if checksum == WORD.unpack_from(data, end)[0] else 0


def step_at(data: bytes, place: int) -> int:
    """Returns the step of the record at a place."""
    return WORD.unpack_from(data, place)[0]


def is_sound_behind(data: bytes, place: int) -> bool:
    """Whether a sound record begins anywhere behind a place.

    What a crash left unfinished has none. Every byte is tried: a damaged record's length says
    nothing.
    """
    for start in range(place + 1, len(data) - SHORTEST + 1):
        before = WORD.unpack_from(data, start - WORD.size)[0]
        # A look at the step spares most of the checksums.
        is_plausible = 0 < step_at(data, start) <= len(data) // SHORTEST
        if is_plausible and sound_bytes(data, start, before):
            return True
    return False


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
