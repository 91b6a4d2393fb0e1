"""Operations that a backward pass is made of, in forms that the delegate takes.

XNNPACK takes neither ADD_N nor a BATCH_MATMUL whose first operand is transposed. Each would end a
partition, and every activation that is kept for the backward pass would be copied out of it.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .graph import Graph, builtin_code, constant, operator, tensor


def for_the_delegate(source: schema.ModelT) -> None:
    """Rewrites the operators of a converted model with one subgraph, in place.

    ADD_N becomes a chain of ADD, and the transposition of a first operand a TRANSPOSE before the
    product, one for all products that share the operand.
    """
    graph, subgraph = Graph(source), source.subgraphs[0]
    transposed: dict[int, int] = {}
    operators = []
    for made in subgraph.operators:
        kind = builtin_code(source, made)
        if kind == schema.BuiltinOperator.ADD_N:
            operators += _additions(graph, subgraph, made)
            continue
        if kind == schema.BuiltinOperator.BATCH_MATMUL and made.builtinOptions.adjX:
            first = made.inputs[0]
            if first not in transposed:
                transposed[first], before = _transposition(graph, subgraph, first)
                operators.append(before)
            made.inputs = [transposed[first], made.inputs[1]]
            made.builtinOptions.adjX = False
        operators.append(made)
    subgraph.operators = operators


def _additions(graph, subgraph, made):
    total, *rest = made.inputs
    found = []
    for number, index in enumerate(rest):
        last = number == len(rest) - 1
        into = made.outputs[0] if last else _like(subgraph, made.outputs[0], f"+{number}")
        code = schema.BuiltinOperator.ADD
        found.append(operator(graph, code, [total, index], [into], schema.AddOptionsT()))
        total = into
    return found


def _transposition(graph, subgraph, index):
    """Returns (tensor with the last two axes of `index` exchanged, the operator that makes it)."""
    shape = [int(size) for size in subgraph.tensors[index].shape]
    axes = list(range(len(shape)))
    axes[-2:] = axes[:-3:-1]
    order = constant(graph, subgraph, "transposition", np.array(axes, np.int32))
    into = _like(subgraph, index, "/transposed", [shape[axis] for axis in axes])
    code = schema.BuiltinOperator.TRANSPOSE
    return into, operator(graph, code, [index, order], [into], schema.TransposeOptionsT())


def _like(subgraph, index, suffix, shape=None):
    """Adds a float32 tensor named and, unless `shape` is given, shaped like tensor `index`."""
    held = subgraph.tensors[index]
    name = held.name.decode() + suffix
    return tensor(subgraph, name, held.shape if shape is None else shape, np.float32)
