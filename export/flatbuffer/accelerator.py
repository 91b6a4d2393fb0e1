"""What the compilers of accelerators do not take, rewritten in a signature that is for them.

CUMSUM becomes a product, operators of constants alone are computed while values are streamed, and
the scores of padding fit half precision
(docs/decisions/0055-a-forward-pass-without-variables.md).
"""

import zlib
from functools import partial

import numpy as np

from ..private_interface import schema
from .constants import Constant
from .model import Folded, TfliteModel, external_buffer
from .operators import TYPES, add_tensor, builtin_of, new_operator

BUILTINS = schema.BuiltinOperator
FLOAT32 = np.dtype(np.float32)
HALF_MAXIMUM = 65504.0
# The score of padding in half precision: two of them add up to less than its maximum.
HALF_IGNORED_SCORE = -3e4
DTYPES = {kind: dtype for dtype, kind in TYPES.items()}


def rewrite_for_accelerators(
    model: TfliteModel, subgraph: schema.SubGraphT, constants: dict[int, Constant]
) -> None:
    """Rewrites the operators of a bound subgraph, in place.

    Args:
      model: gets an external buffer for each new constant.
      subgraph: without variables.
      constants: tensor index -> the frozen parameter that the tensor holds.
    """
    _add_up_by_products(model, subgraph)
    _fold_constants(model, subgraph, constants)
    _fit_half_precision(model, subgraph)


def _fit_half_precision(model, subgraph):
    """Raises numbers below half precision's range, scores of padding, to one inside."""
    for index in {tensor.buffer for tensor in subgraph.tensors if tensor.type == TYPES[FLOAT32]}:
        buffer = model.root.buffers[index]
        if buffer.data is None:
            continue
        values = np.frombuffer(bytes(buffer.data), FLOAT32)
        fitting = np.where(values < -HALF_MAXIMUM, np.float32(HALF_IGNORED_SCORE), values)
        buffer.data = fitting.view(np.uint8)


def _add_up_by_products(model, subgraph):
    """Makes each CUMSUM of int32 [B, T] along its rows a product of float32, which is exact."""
    operators = []
    for operator in subgraph.operators:
        if builtin_of(model.root, operator) != BUILTINS.CUMSUM:
            operators.append(operator)
            continue
        (values, _), (result,) = operator.inputs, operator.outputs
        rows, tokens = subgraph.tensors[values].shape
        key = f"ones/{tokens}"
        ones = external_buffer(model, key, 4 * tokens * tokens)
        model.computed[key] = np.tri(int(tokens), dtype=np.float32)  # row t has t + 1 ones
        matrix = add_tensor(subgraph, key, [tokens, tokens], np.float32, ones)
        floats = [add_tensor(subgraph, "sums", [rows, tokens], np.float32) for _ in range(2)]
        product = schema.FullyConnectedOptionsT()
        product.keepNumDims = True
        operators += [
            _cast(model, subgraph, values, floats[0]),
            new_operator(
                model, BUILTINS.FULLY_CONNECTED, [floats[0], matrix, -1], floats[1:], product
            ),
            _cast(model, subgraph, floats[1], result),
        ]
    subgraph.operators = operators


def _cast(model, subgraph, source, result):
    options = schema.CastOptionsT()
    options.inDataType, options.outDataType = (
        subgraph.tensors[index].type for index in (source, result)
    )
    return new_operator(model, BUILTINS.CAST, [source], [result], options)


def _fold_constants(model, subgraph, constants):
    """Makes constants of what operators compute from one frozen parameter and fixed numbers."""
    folded = {index: Folded(constant.name, ()) for index, constant in constants.items()}
    kept = []
    for operator in subgraph.operators:
        sources = [index for index in operator.inputs if index in folded]
        step = _step(model, subgraph, operator, sources[0]) if len(sources) == 1 else None
        if step is None:
            kept.append(operator)
            continue
        before, (result,) = folded[sources[0]], operator.outputs
        folded[result] = Folded(before.source, (*before.steps, step))
        # Results are alike where parameter, operators and numbers are.
        digest = zlib.crc32(
            repr([(s.func.__name__, s.args) for s in folded[result].steps]).encode()
        )
        shape = subgraph.tensors[result].shape
        key = f"{before.source}/folded/{'x'.join(map(str, shape))}/{digest:08x}"
        subgraph.tensors[result].buffer = external_buffer(model, key, 4 * int(np.prod(shape)))
        model.folded[key] = folded[result]
    subgraph.operators = kept


def _step(model, subgraph, operator, source) -> partial[np.ndarray] | None:
    """Returns what an operator does to the values of `source`, None where others are not fixed."""
    numbers = []
    for index in operator.inputs:
        if index == source:
            continue
        tensor = subgraph.tensors[index]
        data = model.root.buffers[tensor.buffer].data if tensor.buffer else None
        if data is None or tensor.type not in DTYPES:
            return None
        numbers.append(np.frombuffer(bytes(data), DTYPES[tensor.type]).reshape(tensor.shape))
    builtin = builtin_of(model.root, operator)
    if builtin in (BUILTINS.GATHER, BUILTINS.EMBEDDING_LOOKUP):
        return partial(_rows, numbers[0].tolist())
    if builtin == BUILTINS.SLICE:
        return partial(_part, *(values.tolist() for values in numbers))
    if builtin == BUILTINS.RESHAPE:
        return partial(_reshaped, numbers[0].tolist())
    if builtin == BUILTINS.ADD:
        return partial(_sum, numbers[0].tolist())
    return None


def _rows(ids, values):
    return values[ids]


def _part(begin, size, values):
    return values[tuple(slice(first, first + count) for first, count in zip(begin, size))]


def _reshaped(shape, values):
    return values.reshape(shape)


def _sum(number, values):
    return values + np.float32(number)
