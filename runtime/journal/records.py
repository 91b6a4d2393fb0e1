"""The records of a journal that gives the parameters: what each step applied to them.

A record is a head, the losses and the passes, all little-endian, chained as chain.py says.
"""

import struct

import numpy as np

from .. import contract
from ..errors import InputError
from ..optim.applied import Applied, Pass
from .chain import WORD, Layout

HEAD = struct.Struct("<IHHddf")  # step, number of losses, number of passes, lr, eps, decay
LOSS = struct.Struct("<d")
PASS = struct.Struct("<if")  # seed, scale
MOST_LOSSES = MOST_PASSES = 1024  # of a record


def record_bytes(losses: int, passes: int) -> int:
    """Returns the length of a record of so many losses and passes."""
    return HEAD.size + losses * LOSS.size + passes * PASS.size + WORD.size


SHORTEST = record_bytes(0, 0)


def _encoded(applied):
    losses, passes = applied.losses, applied.passes
    if len(losses) > MOST_LOSSES or len(passes) > MOST_PASSES:
        raise InputError(
            f"step {applied.step}: {len(losses)} losses and {len(passes)} passes, a journal's "
            f"record holds {MOST_LOSSES} and {MOST_PASSES} at most; take fewer a step"
        )
    head = HEAD.pack(applied.step, len(losses), len(passes), applied.lr, applied.eps, applied.decay)
    return b"".join([head, *map(LOSS.pack, losses), *(PASS.pack(*entry) for entry in passes)])


def _size_at(data, place):
    losses, passes = HEAD.unpack_from(data, place)[1:3]
    possible = losses <= MOST_LOSSES and passes <= MOST_PASSES
    return record_bytes(losses, passes) if possible else 0


def _are_plausible(data, first, count):
    losses, passes = (
        np.ndarray(count, "<u2", data, first + offset, strides=(1,)) for offset in (4, 6)
    )
    return (losses <= MOST_LOSSES) & (passes <= MOST_PASSES)


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


APPLIED = Layout(
    magic=b"PLLMJRN%d" % contract.JOURNAL_VERSION,
    shortest=SHORTEST,
    size_at=_size_at,
    are_plausible=_are_plausible,
    encoded=_encoded,
    decoded=_decoded,
)
