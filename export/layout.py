"""From a checkpoint's parameters to the resource variables of the graph.

A parameter is what the checkpoint names; a variable is what the interpreter holds: the same values,
linear weights transposed, large tables cut into row chunks. Every variable is perturbed as one
piece, so the chunk size bounds the workspace of a noise pass and of an embedding look-up.
"""

import math
from dataclasses import dataclass

# 4 MB of float32
CHUNK_VALUES = 1 << 20
# Bytes brought in by one `initialize_*` call, before its file pages are let go again.
SLICE_BYTES = 1 << 26


@dataclass(frozen=True)
class Parameter:
    """One tensor of a checkpoint.

    Attributes:
      name: Hugging Face's.
      shape: as in the checkpoint.
      kind: "linear" ([out, in], held as [1, in, out]), "table" (rows looked up by id, held in row
        chunks) or "vector".
      decays: whether weight decay applies (no biases, no layer norms).
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    decays: bool

    @property
    def values(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Variable:
    """One resource variable.

    Attributes:
      name: shared name, `<parameter name>` or `<parameter name>/<chunk>`.
      shape: as the graph reads it.
      parameter: where the values come from.
      rows: (first, last + 1) of the parameter's rows, for a chunk of a table.
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
    parameters: list[Parameter], chunk_values: int = CHUNK_VALUES
) -> tuple[Variable, ...]:
    """Lays the parameters out as variables, in order."""
    found: list[Variable] = []
    for parameter in parameters:
        if parameter.kind == "table":
            count, width = parameter.shape
            per_chunk = min(count, max(1, chunk_values // width))
            for number, first in enumerate(range(0, count, per_chunk)):
                rows = (first, min(first + per_chunk, count))
                name = f"{parameter.name}/{number}"
                found.append(
                    Variable(name, (rows[1] - rows[0], width), parameter, rows, len(found))
                )
        else:
            transposed = parameter.kind == "linear"
            shape = (1, *parameter.shape[::-1]) if transposed else parameter.shape
            found.append(Variable(parameter.name, shape, parameter, None, len(found)))
    return tuple(found)


def chunks_of(variables: tuple[Variable, ...], parameter_name: str) -> list[Variable]:
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
