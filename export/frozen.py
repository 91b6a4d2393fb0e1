"""Frozen parameters: constants of the graph, read from the mapped file and never copied.

A matrix is an input [1, in, out] of BATCH_MATMUL while converting, as a trainable one is. As a
constant it stays as the checkpoint has it, [out, in], in a FULLY_CONNECTED with its bias.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .flatgraph import Graph, external_buffer, operator
from .layout import LINEAR_VALUES, Parameter, row_chunks
from .weights import Weights

ADD = schema.BuiltinOperator.ADD
BATCH_MATMUL = schema.BuiltinOperator.BATCH_MATMUL
FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED


@dataclass(frozen=True)
class Constant:
    """A frozen parameter, or a chunk of a table's rows.

    Attributes:
      name: of the graph's input while converting, and of its external buffer.
      shape: as the graph reads it.
      parameter: where the values come from.
      rows: (first, last + 1) of the parameter's rows, for a chunk.
    """

    name: str
    shape: tuple[int, ...]
    parameter: Parameter
    rows: tuple[int, int] | None = None

    @property
    def stored_shape(self) -> list[int]:
        """Shape of its values in the model file: the checkpoint's, or of some of its rows."""
        first, last = self.rows or (0, self.parameter.shape[0])
        return [last - first, *self.parameter.shape[1:]]

    @property
    def stored_bytes(self) -> int:
        """Bytes of its values in the model file."""
        return 4 * math.prod(self.stored_shape)


def constants_of(
    parameters: Iterable[Parameter],
    chunked: frozenset[str],
    chunk_values: int = LINEAR_VALUES,
) -> list[Constant]:
    """Lays frozen parameters out, whole but for the tables named in `chunked`."""
    found = []
    for parameter in parameters:
        name, shape = parameter.name, parameter.shape
        if parameter.kind == "linear":
            found.append(Constant(name, (1, *shape[::-1]), parameter))
        elif name in chunked:
            for number, (first, last) in enumerate(row_chunks(shape, chunk_values)):
                rows = (last - first, shape[1])
                found.append(Constant(f"{name}/{number}", rows, parameter, (first, last)))
        else:
            whole = (0, shape[0]) if parameter.kind == "table" else None
            found.append(Constant(name, shape, parameter, whole))
    return found


def stream_constants(
    weights: Weights, constants: Iterable[Constant]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, values as the file holds them), reading each parameter once."""
    held_name, values = None, None
    for constant in constants:
        if constant.parameter.name != held_name:
            held_name, values = constant.parameter.name, weights.read(constant.parameter)
        yield constant.name, values if constant.rows is None else values[slice(*constant.rows)]


def bind_constant(graph: Graph, subgraph, index: int, constant: Constant) -> None:
    """Makes input tensor `index` a constant, and the products with it FULLY_CONNECTED.

    What a function does not use gets no buffer, and where none does, no bytes in the file.
    """
    users = [made for made in subgraph.operators if index in made.inputs]
    if not users:
        return
    held = subgraph.tensors[index]
    held.buffer = external_buffer(graph, constant.name, constant.stored_bytes)
    if all(_code(graph, made) == BATCH_MATMUL for made in users):
        held.shape = constant.stored_shape
        for made in users:
            _fully_connected(graph, made)


def fold_biases(graph: Graph, subgraph) -> None:
    """Gives each FULLY_CONNECTED the constant bias that is added to its result alone."""
    consumers = defaultdict(list)
    for made in subgraph.operators:
        for index in made.inputs:
            consumers[index].append(made)
    folded = []
    for made in subgraph.operators:
        if _code(graph, made) != FULLY_CONNECTED or made.inputs[2] != -1:
            continue
        users = consumers[made.outputs[0]]
        if len(users) != 1 or _code(graph, users[0]) != ADD:
            continue
        (bias,) = [index for index in users[0].inputs if index != made.outputs[0]]
        held = subgraph.tensors[bias]
        if held.buffer and list(held.shape) == subgraph.tensors[made.inputs[1]].shape[:1]:
            made.inputs[2], made.outputs = bias, users[0].outputs
            activation = users[0].builtinOptions.fusedActivationFunction
            made.builtinOptions.fusedActivationFunction = activation
            folded.append(users[0])
    subgraph.operators = [
        made for made in subgraph.operators if not any(made is one for one in folded)
    ]


def _code(graph, made):
    return graph.model.operatorCodes[made.opcodeIndex].builtinCode


def _fully_connected(graph, made):
    """Turns a BATCH_MATMUL into FULLY_CONNECTED."""
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    replaced = operator(graph, FULLY_CONNECTED, [*made.inputs, -1], made.outputs, options)
    vars(made).update(vars(replaced))
