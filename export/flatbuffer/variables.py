"""From a checkpoint's parameters to the resource variables of the graph.

A parameter is what the checkpoint names; a variable is what the interpreter holds: the same values,
linear weights transposed, what is large cut into chunks of rows. Every variable is perturbed as one
piece, so the chunk size bounds the workspace of a noise pass and of an embedding look-up. A matrix
is packed anew for every product with it: in pieces that stay in the cache OPT-1.3B's products run
at 386 GFLOP/s instead of 289.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Of a table: 4 MB of float32. Of a matrix: 16 MB; 8 MB are 3% faster and take longer to convert.
CHUNK_VALUES = 1 << 20
LINEAR_VALUES = 1 << 22
# Bytes brought in by one `initialize_*` call, before its file pages are let go again.
SLICE_BYTES = 1 << 26


@dataclass(frozen=True)
class Parameter:
    """One tensor of a checkpoint.

    Attributes:
      name: Hugging Face's.
      shape: as in the checkpoint.
      kind: "linear" ([out, in], held as [1, in, out]), "table" (rows looked up by id) or "vector"
        (held as it is).
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


def table(name: str, rows: int, width: int) -> Parameter:
    """Returns an embedding table, [rows, width]."""
    return Parameter(name, (rows, width), "table", True)


def linear(name: str, fan_in: int, fan_out: int, bias: bool = True) -> list[Parameter]:
    """Returns a layer's matrix and, with `bias`, its bias."""
    weight = Parameter(f"{name}.weight", (fan_out, fan_in), "linear", True)
    return [weight, Parameter(f"{name}.bias", (fan_out,), "vector", False)][: 1 + bias]


def layer_norm(name: str, width: int) -> list[Parameter]:
    """Returns a layer norm's weight and bias."""
    return [Parameter(f"{name}.{which}", (width,), "vector", False) for which in ("weight", "bias")]


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
