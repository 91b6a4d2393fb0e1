"""Frozen parameters as constants of the graph: whole, or as chunks of a table's rows.

A matrix is an input [1, out, in] of BATCH_MATMUL while converting, as a trainable one is; as a
constant it is multiplied with by FULLY_CONNECTED. On a quantised base its values are integers with
a scale an output; a table's scales are a constant of their own, beside it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pocketllm.runtime import contract

from ..graph.parameters import Parameter
from .variables import LINEAR_VALUES, row_chunks

SCALES = "scales"  # storage of a quantised table's scales
QUANTISED = (contract.INT8, contract.INT4)
BITS = contract.BASE_BITS | {SCALES: 32}


@dataclass(frozen=True)
class Constant:
    """A frozen parameter, a chunk of a table's rows, or the scales of these rows.

    Attributes:
      name: of the graph's input while converting, and of its external buffer.
      shape: the parameter's, or that of a chunk of its rows.
      parameter: the source of the values.
      rows: (first, last + 1) of the parameter's rows, for a table.
      storage: one of contract.BASES, or SCALES.
    """

    name: str
    shape: tuple[int, ...]
    parameter: Parameter
    rows: tuple[int, int] | None = None
    storage: str = contract.FP32

    @property
    def is_table(self) -> bool:
        """Whether its rows are looked up."""
        return self.parameter.kind == "table"

    @property
    def is_quantised(self) -> bool:
        """Whether its values are integers that have scales."""
        return self.storage in QUANTISED

    @property
    def stored_bytes(self) -> int:
        """Bytes of its values in the model file."""
        return math.prod(self.shape) * BITS[self.storage] // 8


def constants_of(
    parameters: Iterable[Parameter],
    base: str,
    quantised_tables: frozenset[str],
    chunked: frozenset[str],
    chunk_values: int = LINEAR_VALUES,
) -> list[Constant]:
    """Lays frozen parameters out, whole except for the tables named in `chunked`.

    Args:
      parameters: the frozen ones.
      base: storage of the matrices, one of contract.BASES.
      quantised_tables: names of the tables that are int8 on a quantised base.
      chunked: names of the tables that are cut into chunks of rows.
      chunk_values: most values of a chunk; a chunk has at least one row.
    """
    constants = []
    for parameter in parameters:
        name, shape = parameter.name, parameter.shape
        if parameter.kind == "linear":
            odd = parameter.values % 2  # nibbles come in pairs
            storage = contract.INT8 if odd and base == contract.INT4 else base
            constants.append(Constant(name, shape, parameter, None, storage))
        elif parameter.kind == "vector":
            constants.append(Constant(name, shape, parameter))
        else:
            chunks = row_chunks(shape, chunk_values) if name in chunked else [(0, shape[0])]
            quantised = base != contract.FP32 and name in quantised_tables
            constants += _table_constants(parameter, chunks, quantised)
    return constants


def _table_constants(parameter, chunks, quantised):
    """Lays a table out by chunks of rows, each followed by its scales where it is quantised."""
    constants = []
    for number, (first, last) in enumerate(chunks):
        name, shape = f"{parameter.name}/{number}", (last - first, parameter.shape[1])
        storage = contract.INT8 if quantised else contract.FP32
        constants.append(Constant(name, shape, parameter, (first, last), storage))
        if quantised:
            column = (last - first, 1)
            constants.append(Constant(scales_of(name), column, parameter, (first, last), SCALES))
    return constants


def scales_of(name: str) -> str:
    """Names the scales of a quantised table's chunk."""
    return f"{name}/scales"


def backward_of(name: str) -> str:
    """Names the transposed copy of a matrix that a backward pass multiplies with."""
    return f"{name}/backward"
