"""From a checkpoint's parameters to the resource variables of the graph.

A parameter is a tensor of the checkpoint, a variable a tensor of the interpreter: the same values,
large parameters cut into chunks of rows. The size of a chunk bounds the workspace of a noise pass
and of a look-up (docs/decisions/0006-tables-and-matrices-in-chunks.md).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..graph.parameters import Parameter

# Values of a table's chunk (4 MB) and of a matrix's (16 MB; 8 MB are 3% faster, longer to convert).
CHUNK_VALUES = 1 << 20
LINEAR_VALUES = 1 << 22
# Initial values read by one `initialize_*` call, whose file pages are then dropped.
SLICE_BYTES = 1 << 26


@dataclass(frozen=True)
class Variable:
    """One resource variable.

    Attributes:
      name: shared name, `<parameter name>` or `<parameter name>/<chunk>`.
      shape: the parameter's, or that of a chunk of its rows.
      parameter: the source of the values.
      rows: (first, last + 1) of the parameter's rows, for a chunk.
      stream: number of its noise stream, and its place in the bundle.
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


class OfParameter(Protocol):
    """A variable or a constant."""

    @property
    def parameter(self) -> Parameter:
        """The source of its values."""
        ...


Weight = TypeVar("Weight", bound=OfParameter)


def variables_of(
    parameters: list[Parameter],
    chunk_values: int = CHUNK_VALUES,
    linear_values: int = LINEAR_VALUES,
) -> tuple[Variable, ...]:
    """Lays the parameters out as variables, in order.

    Args:
      parameters: of the model.
      chunk_values: most values of a table's chunk; a chunk has at least one row.
      linear_values: most values of a matrix's chunk, likewise.
    """
    variables: list[Variable] = []

    def add(name, shape, parameter, rows):
        variables.append(Variable(name, shape, parameter, rows, len(variables)))

    for parameter in parameters:
        if parameter.kind == "vector":
            add(parameter.name, parameter.shape, parameter, None)
            continue
        table = parameter.kind == "table"
        chunks = row_chunks(parameter.shape, chunk_values if table else linear_values)
        for number, (first, last) in enumerate(chunks):
            width = parameter.shape[1]
            shape = (last - first, width)
            whole = len(chunks) == 1 and not table
            name = parameter.name if whole else f"{parameter.name}/{number}"
            add(name, shape, parameter, None if whole else (first, last))
    return tuple(variables)


def row_chunks(shape: tuple[int, ...], most_values: int) -> list[tuple[int, int]]:
    """Returns (first, last + 1) of chunks of rows, all of one size but the last."""
    count, width = shape
    per_chunk = min(count, max(1, most_values // width))
    return [(first, min(first + per_chunk, count)) for first in range(0, count, per_chunk)]


def chunks_of(weights: Iterable[Weight], parameter_name: str) -> list[Weight]:
    """Returns the variables or constants of one parameter, in row order."""
    return [weight for weight in weights if weight.parameter.name == parameter_name]


def slices_of(
    variables: tuple[Variable, ...], slice_bytes: int = SLICE_BYTES
) -> list[tuple[Variable, ...]]:
    """Groups variables, in order, into slices of at most `slice_bytes` (or one variable)."""
    slices: list[list[Variable]] = [[]]
    size = 0
    for variable in variables:
        if slices[-1] and size + 4 * variable.size > slice_bytes:
            slices.append([])
            size = 0
        slices[-1].append(variable)
        size += 4 * variable.size
    return [tuple(group) for group in slices]
