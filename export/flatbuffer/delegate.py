"""Operators of a backward pass, rewritten: in forms that the delegate takes, and without barriers.

XNNPACK takes neither ADD_N, nor a BATCH_MATMUL whose first operand is transposed, nor a
CONCATENATION of many tensors: each would end a partition, and what a later partition reads stays
(docs/decisions/0015-backward-pass-in-the-delegate.md).

graph/recompute.py makes barriers: x + value · barrier, where barrier is an input that is 0. They
keep the converter from merging two runs of a piece, and `schedule` from beginning the second too
early; in order, neither is needed any more.
"""

import math
from copy import copy

import numpy as np

from ..private_interface import schema
from .model import TfliteModel
from .operators import add_constant, builtin_of, new_operator

ADD, MUL = schema.BuiltinOperator.ADD, schema.BuiltinOperator.MUL
CONCATENATION = schema.BuiltinOperator.CONCATENATION
RESHAPE = schema.BuiltinOperator.RESHAPE

# Operands of a CONCATENATION that the delegate takes, in both engines.
JOINED = 4


def rewrite_for_delegate(source: schema.ModelT) -> None:
    """Rewrites the operators of a converted model with one subgraph, in place.

    ADD_N becomes a chain of ADD. Aᵀ·B becomes (Bᵀ·A)ᵀ where these are fewer values to transpose, or
    A has a TRANSPOSE of its own, one for all products that share it. A CONCATENATION of many
    tensors becomes a tree of them.
    """
    model, subgraph = TfliteModel(source), source.subgraphs[0]
    transposed: dict[int, int] = {}
    operators = []
    for operator in subgraph.operators:
        builtin = builtin_of(source, operator)
        if builtin == schema.BuiltinOperator.ADD_N:
            operators += _additions(model, subgraph, operator)
            continue
        if builtin == CONCATENATION:
            operators += _concatenations(model, subgraph, operator)
            continue
        if builtin == schema.BuiltinOperator.BATCH_MATMUL and operator.builtinOptions.adjX:
            first, second = operator.inputs
            if not operator.builtinOptions.adjY and _is_cheaper(subgraph, operator):
                operators += _exchanged(model, subgraph, operator)
                continue
            if first not in transposed:
                transposed[first], transpose = _transposition(model, subgraph, first)
                operators.append(transpose)
            operator.inputs = [transposed[first], second]
            operator.builtinOptions.adjX = False
        operators.append(operator)
    subgraph.operators = operators


def without_barriers(
    model: TfliteModel, subgraph: schema.SubGraphT, operators: list[schema.OperatorT], barrier: int
) -> list[schema.OperatorT]:
    """Returns the operators without the barriers; what reads x + value · 0 reads x.

    Args:
      model: the model that the operators' codes belong to.
      subgraph: the operators' tensors.
      operators: in order; those at and behind a barrier are changed in place.
      barrier: the tensor that is 0.
    """
    products = {o.outputs[0]: o for o in operators if barrier in o.inputs}
    assert all(builtin_of(model.root, o) == MUL for o in products.values()), "value · 0"
    sums = {}
    for operator in operators:
        if not products.keys().isdisjoint(operator.inputs):
            assert builtin_of(model.root, operator) == ADD, "x + value · 0"
            (x,) = [index for index in operator.inputs if index not in products]
            sums[operator.outputs[0]] = operator, x
    assert len(sums) >= len(products), "every barrier stands before a tensor"

    same, removed = {}, set(products)
    for index, (operator, x) in sums.items():
        shape = subgraph.tensors[index].shape
        if list(subgraph.tensors[x].shape) == list(shape):
            same[index] = x
            removed.add(index)
        else:  # the converter lets a sum add axes of size 1
            _reshape(model, subgraph, operator, x, shape)
    kept = [operator for operator in operators if operator.outputs[0] not in removed]
    for operator in kept:
        operator.inputs = [same.get(index, index) for index in operator.inputs]
    # The values of the gradients were taken out for the barriers alone.
    values = {i for o in products.values() for i in o.inputs}
    read = {index for operator in kept for index in operator.inputs}
    return [o for o in kept if o.outputs[0] not in values or o.outputs[0] in read]


def _reshape(model, subgraph, operator, x, shape):
    """Turns an operator into RESHAPE of tensor x."""
    sizes = add_constant(model, subgraph, "shape", np.array(shape, np.int32))
    replacement = new_operator(
        model, RESHAPE, [x, sizes], operator.outputs, schema.ReshapeOptionsT()
    )
    vars(operator).update(vars(replacement))


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


def _concatenations(model, subgraph, operator):
    """Returns the CONCATENATIONs, of at most JOINED tensors each, that do what `operator` does."""
    axis, tree = operator.builtinOptions.axis, []
    while len(operator.inputs) > JOINED:
        groups = [operator.inputs[n : n + JOINED] for n in range(0, len(operator.inputs), JOINED)]
        operator.inputs = []
        for group in map(list, groups):
            if len(group) == 1:
                operator.inputs += group
                continue
            shape = [int(size) for size in subgraph.tensors[group[0]].shape]
            shape[axis] = sum(int(subgraph.tensors[index].shape[axis]) for index in group)
            suffix = f"/joined{len(tree)}"
            operator.inputs.append(_like(subgraph, operator.outputs[0], suffix, shape))
            options = copy(operator.builtinOptions)
            outputs = operator.inputs[-1:]
            tree.append(new_operator(model, CONCATENATION, group, outputs, options))
    return [*tree, operator]


def _is_cheaper(subgraph, operator):
    """Whether the second operand and the result of a product are smaller than the first operand."""
    first, second, result = (
        math.prod(subgraph.tensors[index].shape) for index in (*operator.inputs, *operator.outputs)
    )
    return second + result < first


def _exchanged(model, subgraph, operator):
    """Returns the operators of (Bᵀ·A)ᵀ, for an operator Aᵀ·B."""
    (first, second), (result,) = operator.inputs, operator.outputs
    transposed, before = _transposition(model, subgraph, second)
    shape = [int(size) for size in subgraph.tensors[result].shape]
    product = _like(subgraph, result, "/exchanged", [*shape[:-2], shape[-1], shape[-2]])
    operator.inputs, operator.outputs = [transposed, first], [product]
    operator.builtinOptions.adjX = False
    _, behind = _transposition(model, subgraph, product, result)
    return [before, operator, behind]


def _transposition(model, subgraph, index, into=None):
    """Returns (tensor with the last two axes of `index` exchanged, or `into`, its TRANSPOSE)."""
    shape = [int(size) for size in subgraph.tensors[index].shape]
    axes = list(range(len(shape)))
    axes[-2:] = axes[:-3:-1]
    order = add_constant(model, subgraph, "transposition", np.array(axes, np.int32))
    if into is None:
        into = _like(subgraph, index, "/transposed", [shape[axis] for axis in axes])
    builtin = schema.BuiltinOperator.TRANSPOSE
    return into, new_operator(model, builtin, [index, order], [into], schema.TransposeOptionsT())


def _like(subgraph, index, suffix, shape=None):
    """Adds a tensor named and, unless `shape` is given, shaped like tensor `index`, of its type."""
    tensor = copy(subgraph.tensors[index])
    tensor.name, tensor.buffer = tensor.name + suffix.encode(), 0
    if shape is not None:
        tensor.shape = shape
        tensor.shapeSignature = None
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1
