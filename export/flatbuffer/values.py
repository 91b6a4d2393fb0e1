"""Values as the model file holds them, streamed: one parameter in memory at a time."""

from collections.abc import Iterable, Iterator

import numpy as np

from pocketllm.runtime import contract

from ..weights.weights import Weights
from .constants import SCALES, Constant, backward_of
from .model import Folded, TfliteModel
from .quantise import int4_rows, int8_rows, packed_nibbles
from .variables import Variable


def stream_variables(
    weights: Weights, variables: Iterable[Variable]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (variable name, initial float32 values as the graph holds them).

    Each parameter is read once: its variables follow one another.
    """
    read_name, values = None, None
    for variable in variables:
        parameter = variable.parameter
        if parameter.name != read_name:
            read_name, values = parameter.name, weights.read(parameter)
        chunk = values if variable.rows is None else values[slice(*variable.rows)]
        yield variable.name, chunk


def stream_constants(
    model: TfliteModel, weights: Weights, constants: Iterable[Constant]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (key of the external buffer, values), reading each parameter once.

    The scales in the flatbuffer are filled in on the way: serialise the model again afterwards.
    """
    read_name, values, scales = None, None, None
    parts: dict[Folded, np.ndarray] = {}  # few rows each
    for constant in constants:
        if constant.storage == SCALES:  # follows the chunk that they belong to
            yield constant.name, scales[:, None]
            continue
        if constant.parameter.name != read_name:
            read_name, values = constant.parameter.name, weights.read(constant.parameter)
        stored = values if constant.rows is None else values[slice(*constant.rows)]
        back = backward_of(constant.name)
        if not constant.is_quantised:
            yield from _folded(model, constant, stored, None, parts)
            if back in model.externals:
                yield back, stored.T
            yield constant.name, stored
            continue
        if back in model.externals:
            yield back, _integers(model, back, constant.storage, stored.T)[0]
        rounded, scales = _integers(model, constant.name, constant.storage, stored)
        yield from _folded(model, constant, rounded, scales, parts)
        yield constant.name, rounded


def _folded(model, constant, stored, scales, parts):
    """Yields (key, values) of all that is made of a constant, and of those before it in `parts`."""
    for key, folded in model.folded.items():
        leaves = [leaf for leaf in folded.leaves() if leaf.parts == (constant.name,)]
        for leaf in leaves:
            parts[leaf] = leaf.values(stored, scales)
        if leaves and (values := folded.joined(parts)) is not None:
            yield key, values


def _integers(model, key, storage, values):
    """Returns (integers as the file holds them, their rows' scales), and gives the model these."""
    integers, scales = int8_rows(values) if storage == contract.INT8 else int4_rows(values)
    model.scales.get(key, scales)[:] = scales
    return packed_nibbles(integers) if storage == contract.INT4 else integers, scales
