"""From a checkpoint's parameters to the resource variables of the graph.

A parameter is what the checkpoint names; a variable is what the interpreter holds: the same values,
linear weights transposed, what is large cut into chunks of rows. Every variable is perturbed as one
piece, so the chunk size bounds the workspace of a noise pass and of an embedding look-up. A matrix
is packed anew for every product with it: in pieces that stay in the cache OPT-1.3B's products run
at 386 GFLOP/s instead of 289.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..models.parameters import Parameter
from ..models.weights import Weights

# Of a table: 4 MB of float32. Of a matrix: 16 MB; 8 MB are 3% faster and take longer to convert.
CHUNK_VALUES = 1 << 20
LINEAR_VALUES = 1 << 22
# Bytes brought in by one `initialize_*` call, before its file pages are let go again.
SLICE_BYTES = 1 << 26


@dataclass(frozen=True)
class Variable:
    """One resource variable.

    Attributes:
      name: shared name, `<parameter name>` or `<parameter name>/<chunk>`.
      shape: as the graph reads it.
      parameter: where the values come from.
      rows: (first, last + 1) of the parameter's rows, for a chunk.
      stream: noise stream number, the variable's place in the bundle.
    """

    name: str
    shape: tuple[int, ...]
    parameter: Parameter
    rows: tuple[int, int] | None
    stream: int

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def variables_of(
    parameters: list[Parameter],
    chunk_values: int = CHUNK_VALUES,
    linear_values: int = LINEAR_VALUES,
) -> tuple[Variable, ...]:
    """Lays the parameters out as variables, in order.

    Args:
      parameters: of the model.
      chunk_values: most values of a table's chunk, but for one row.
      linear_values: most values of a matrix's chunk, but for one row.
    """
    found: list[Variable] = []

    def add(name, shape, parameter, rows):
        found.append(Variable(name, shape, parameter, rows, len(found)))

    for parameter in parameters:
        if parameter.kind == "vector":
            add(parameter.name, parameter.shape, parameter, None)
            continue
        table = parameter.kind == "table"
        chunks = row_chunks(parameter.shape, chunk_values if table else linear_values)
        for number, (first, last) in enumerate(chunks):
            width = parameter.shape[1]
            shape = (last - first, width) if table else (1, width, last - first)
            whole = len(chunks) == 1 and not table
            name = parameter.name if whole else f"{parameter.name}/{number}"
            add(name, shape, parameter, None if whole else (first, last))
    return tuple(found)


def row_chunks(shape, most_values):
    """Returns (first, last + 1) of chunks of rows, all of one size but the last."""
    count, width = shape
    per_chunk = min(count, max(1, most_values // width))
    return [(first, min(first + per_chunk, count)) for first in range(0, count, per_chunk)]


def chunks_of(variables: Iterable[Variable], parameter_name: str) -> list[Variable]:
    """Returns the variables of one parameter, in row order."""
    return [v for v in variables if v.parameter.name == parameter_name]


def slices_of(
    variables: tuple[Variable, ...], slice_bytes: int = SLICE_BYTES
) -> list[tuple[Variable, ...]]:
    """Groups variables, in order, into slices of at most `slice_bytes` (or one variable)."""
    slices: list[list[Variable]] = [[]]
    held = 0
    for variable in variables:
        if slices[-1] and held + 4 * variable.size > slice_bytes:
            slices.append([])
            held = 0
        slices[-1].append(variable)
        held += 4 * variable.size
    return [tuple(group) for group in slices]


def stream_values(
    weights: Weights, variables: Iterable[Variable]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (variable name, values as the graph holds them), reading each parameter once."""
    held_name, values = None, None
    for variable in variables:
        parameter = variable.parameter
        if parameter.name != held_name:
            held_name, values = parameter.name, weights.read(parameter)
        chunk = values if variable.rows is None else values[slice(*variable.rows)]
        if parameter.kind == "linear":
            chunk = np.ascontiguousarray(chunk.T)[None]
        yield variable.name, chunk
