"""The records of a journal of steps with gradients: what each measured, and a checksum of its end.

They do not give the parameters. They say whether a step that is taken again, from a snapshot,
comes out as it did (docs/decisions/0044-a-step-with-gradients-is-taken-again.md). All have one
length, and are chained as chain.py says.
"""

import struct
from dataclasses import fields

import numpy as np

from .. import contract
from ..optim.gradients import Descent
from .chain import WORD, Layout

BODY = struct.Struct("<IIdddd")
NAMES = tuple(field.name for field in fields(Descent))  # in the order of the record
RECORD_BYTES = BODY.size + WORD.size

DESCENTS = Layout(
    magic=b"PLLMGRD%d" % contract.DESCENTS_VERSION,
    shortest=RECORD_BYTES,
    size_at=lambda data, place: RECORD_BYTES,
    are_plausible=lambda data, first, count: np.ones(count, bool),
    encoded=lambda step: BODY.pack(*(getattr(step, name) for name in NAMES)),
    decoded=lambda data, place: Descent(*BODY.unpack_from(data, place)),
)
