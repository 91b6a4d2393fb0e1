"""Operators of a backward pass, rewritten into forms that the delegate takes.

XNNPACK takes neither ADD_N nor a BATCH_MATMUL whose first operand is transposed: each would end a
partition (docs/decisions/0015-backward-pass-in-the-delegate.md).
"""

import numpy as np

from ..private_interface import schema
from .model import TfliteModel
from .operators import add_constant, add_tensor, builtin_of, new_operator


def rewrite_for_delegate(source: schema.ModelT) -> None:
    """Rewrites the operators of a converted model with one subgraph, in place.

    ADD_N becomes a chain of ADD. The transposition of a first operand becomes a TRANSPOSE before
    the product, one for all products that share the operand.
    """
    model, subgraph = TfliteModel(source), source.subgraphs[0]
    transposed: dict[int, int] = {}
    operators = []
    for operator in subgraph.operators:
        builtin = builtin_of(source, operator)
        if builtin == schema.BuiltinOperator.ADD_N:
            operators += _additions(model, subgraph, operator)
            continue
        if builtin == schema.BuiltinOperator.BATCH_MATMUL and operator.builtinOptions.adjX:
            first = operator.inputs[0]
            if first not in transposed:
                transposed[first], transpose = _transposition(model, subgraph, first)
                operators.append(transpose)
            operator.inputs = [transposed[first], operator.inputs[1]]
            operator.builtinOptions.adjX = False
        operators.append(operator)
    subgraph.operators = operators


def _additions(model, subgraph, operator):
    """Returns the chain of ADDs that computes what an ADD_N does."""
    total, *rest = operator.inputs
    additions = []
    for number, index in enumerate(rest):
        last = number == len(rest) - 1
        into = operator.outputs[0] if last else _like(subgraph, operator.outputs[0], f"+{number}")
        builtin = schema.BuiltinOperator.ADD
        additions.append(new_operator(model, builtin, [total, index], [into], schema.AddOptionsT()))
        total = into
    return additions


def _transposition(model, subgraph, index):
    """Returns (tensor with the last two axes of `index` exchanged, its TRANSPOSE)."""
    shape = [int(size) for size in subgraph.tensors[index].shape]
    axes = list(range(len(shape)))
    axes[-2:] = axes[:-3:-1]
    order = add_constant(model, subgraph, "transposition", np.array(axes, np.int32))
    into = _like(subgraph, index, "/transposed", [shape[axis] for axis in axes])
    builtin = schema.BuiltinOperator.TRANSPOSE
    return into, new_operator(model, builtin, [index, order], [into], schema.TransposeOptionsT())


def _like(subgraph, index, suffix, shape=None):
    """Adds a float32 tensor named and, unless `shape` is given, shaped like tensor `index`."""
    tensor = subgraph.tensors[index]
    name = tensor.name.decode() + suffix
    return add_tensor(subgraph, name, tensor.shape if shape is None else shape, np.float32)
