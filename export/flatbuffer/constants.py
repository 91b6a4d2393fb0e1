"""Frozen parameters: constants of the graph, read from the mapped file and never copied.

A matrix is an input [1, in, out] of BATCH_MATMUL while converting, as a trainable one is. As a
constant it stays as the checkpoint has it, [out, in], in a FULLY_CONNECTED with its bias. On a
quantised base its values are integers and each output has a scale, in the flatbuffer; XNNPACK
then quantises the rows that come in as they come. A table's scales are a constant beside it.

A backward pass multiplies with the same matrix the other way round, [in, out]. In float32 that is a
product with the same bytes. Integers with a scale an output have no such product: there a second
constant holds the transposed matrix, rounded with a scale an input.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketllm.runtime import contract

from ..models.parameters import Parameter
from ..models.weights import Weights
from .fully_connected import connect_fully, is_matmul
from .graph import Graph, external_buffer, tensor
from .quantise import int4_rows, int8_rows, packed_nibbles
from .variables import LINEAR_VALUES, row_chunks

SCALES = "scales"  # storage of a quantised table's scales
BITS = {contract.FP32: 32, SCALES: 32, contract.INT8: 8, contract.INT4: 4}
TYPES = {contract.INT8: schema.TensorType.INT8, contract.INT4: schema.TensorType.INT4}


@dataclass(frozen=True)
class Constant:
    """A frozen parameter, a chunk of a table's rows, or the scales of these rows.

    Attributes:
      name: of the graph's input while converting, and of its external buffer.
      shape: as the graph reads it.
      parameter: where the values come from.
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
        """Whether rows of it are looked up."""
        return self.parameter.kind == "table"

    @property
    def stored_shape(self) -> list[int]:
        """Shape of its values in the model file: as the checkpoint's."""
        return list(self.parameter.shape if self.parameter.kind == "linear" else self.shape)

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
    """Lays frozen parameters out, whole but for the tables named in `chunked`.

    Args:
      parameters: the frozen ones.
      base: how matrices are stored, one of contract.BASES.
      quantised_tables: names of the tables that are int8 on a quantised base.
      chunked: names of the tables that are cut into chunks of rows.
      chunk_values: most values of a chunk, but for one row.
    """
    found = []
    for parameter in parameters:
        name, shape = parameter.name, parameter.shape
        if parameter.kind == "linear":
            odd = parameter.values % 2  # nibbles come in pairs
            storage = contract.INT8 if odd and base == contract.INT4 else base
            found.append(Constant(name, (1, *shape[::-1]), parameter, None, storage))
            continue
        if parameter.kind == "vector":
            found.append(Constant(name, shape, parameter))
            continue
        quantised = base != contract.FP32 and name in quantised_tables
        chunks = row_chunks(shape, chunk_values) if name in chunked else [(0, shape[0])]
        for number, rows in enumerate(chunks):
            held, count = f"{name}/{number}", rows[1] - rows[0]
            storage = contract.INT8 if quantised else contract.FP32
            found.append(Constant(held, (count, shape[1]), parameter, rows, storage))
            if quantised:
                found.append(Constant(scales_of(held), (count, 1), parameter, rows, SCALES))
    return found


def scales_of(name: str) -> str:
    """Names the scales of a quantised table's chunk."""
    return f"{name}/scales"


def backward_of(name: str) -> str:
    """Names the transposed copy of a quantised matrix that a backward pass takes."""
    return f"{name}/backward"


def stream_constants(
    graph: Graph, weights: Weights, constants: Iterable[Constant]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, values as the file holds them), reading each parameter once.

    The scales that stand in the flatbuffer are filled in on the way: pack it again afterwards.
    """
    held_name, values, scales = None, None, None
    for constant in constants:
        if constant.storage == SCALES:
            yield constant.name, scales[:, None]
            continue
        if constant.parameter.name != held_name:
            held_name, values = constant.parameter.name, weights.read(constant.parameter)
        stored = values if constant.rows is None else values[slice(*constant.rows)]
        if constant.storage not in TYPES:
            yield constant.name, stored
            continue
        back = backward_of(constant.name)
        if back in graph.externals:
            yield back, _rounded(graph, back, constant.storage, stored.T)[0]
        rounded, scales = _rounded(graph, constant.name, constant.storage, stored)
        yield constant.name, rounded


def _rounded(graph, name, storage, values):
    """Returns (integers as the file holds them, their rows' scales), which the graph gets too."""
    integers, scales = int8_rows(values) if storage == contract.INT8 else int4_rows(values)
    graph.scales.get(name, scales)[:] = scales
    return packed_nibbles(integers) if storage == contract.INT4 else integers, scales


def bind_constant(graph: Graph, subgraph, index: int, constant: Constant) -> None:
    """Makes input tensor `index` a constant, and the products with it FULLY_CONNECTED.

    What a function does not use gets no buffer, and where none does, no bytes in the file.
    """
    users = [made for made in subgraph.operators if index in made.inputs]
    held, name = subgraph.tensors[index], constant.name
    if not all(is_matmul(graph, made) for made in users):
        held.buffer = external_buffer(graph, name, constant.stored_bytes)
        return
    # A table is stored as it is read, a layer's matrix the other way round.
    forward = [made for made in users if made.builtinOptions.adjY == constant.is_table]
    backward = [made for made in users if made.builtinOptions.adjY != constant.is_table]
    shape = constant.stored_shape[-2:]
    if forward:
        _hold(graph, held, name, constant, shape)
    for made in forward:
        connect_fully(graph, made, constant.storage in TYPES)
    if not backward:
        return
    other = tensor(subgraph, backward_of(name), [1, *shape], np.float32)
    if constant.storage in TYPES:
        _hold(graph, subgraph.tensors[other], backward_of(name), constant, shape[::-1])
    else:
        _hold(graph, subgraph.tensors[other], name, constant, [1, *shape])
    for made in backward:
        made.inputs = [made.inputs[0], other]
        if constant.storage in TYPES:
            connect_fully(graph, made, True)
        else:
            made.builtinOptions.adjY = False


def _hold(graph, held, name, constant, shape):
    """Gives a tensor the external buffer of `name`, as values of this shape and storage."""
    held.buffer, held.shape = external_buffer(graph, name, constant.stored_bytes), shape
    if constant.storage in TYPES:
        held.type = TYPES[constant.storage]
        held.quantization = _quantization(graph, name, shape[0])


def _quantization(graph, name, channels):
    """Returns parameters whose scales are those of `name`, one an output, filled in later."""
    made = schema.QuantizationParametersT()
    made.scale = graph.scales.setdefault(name, np.zeros(channels, np.float32))
    made.zeroPoint = np.zeros(channels, np.int64)
    made.quantizedDimension = 0
    return made
