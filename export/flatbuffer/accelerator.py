"""What the compilers of accelerators do not take, rewritten in a signature that is for them.

CUMSUM becomes a product, operators of constants alone are computed while values are streamed, and
the scores of padding fit half precision
(docs/decisions/0055-a-forward-pass-without-variables.md).
"""

import zlib
from functools import partial
from typing import Any

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
# The rows of label words in several chunks of a head are added up, or chosen, of each chunk's.
ELEMENTWISE = {BUILTINS.ADD: np.add, BUILTINS.MUL: np.multiply, BUILTINS.SELECT_V2: np.where}


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
    """Makes constants of what operators compute from frozen parameters and fixed numbers."""
    folded = {index: Folded((constant.name,), ()) for index, constant in constants.items()}
    kept = []
    for operator in subgraph.operators:
        sources = [index for index in operator.inputs if index in folded]
        step = _step(model, subgraph, operator, sources) if sources else None
        if step is None:
            kept.append(operator)
            continue
        (result,) = operator.outputs
        folded[result] = _after([folded[index] for index in sources], step)
        shape = subgraph.tensors[result].shape
        digest = zlib.crc32(folded[result].description.encode())
        key = f"{_constants_in(folded[result])}/folded/{'x'.join(map(str, shape))}/{digest:08x}"
        subgraph.tensors[result].buffer = external_buffer(model, key, 4 * int(np.prod(shape)))
        model.folded[key] = folded[result]
    subgraph.operators = kept


def _constants_in(folded: Folded) -> str:
    """Names the constants that values are made of."""
    return "+".join(dict.fromkeys(str(leaf.parts[0]) for leaf in folded.leaves()))


def _after(parts: list[Folded], step) -> Folded:
    """Returns what a step makes of one part, or of several."""
    if len(parts) == 1:
        return Folded(parts[0].parts, (*parts[0].steps, step))
    return Folded(tuple(parts), (step,))


def _step(model, subgraph, operator, sources) -> partial[np.ndarray] | None:
    """Returns what an operator does to the values of `sources`, None where others are not fixed."""
    fixed: list[Any] = []  # numbers; None: of a source
    for index in operator.inputs:
        tensor = subgraph.tensors[index]
        data = model.root.buffers[tensor.buffer].data if tensor.buffer else None
        if index in sources:
            fixed.append(None)
        elif data is None or tensor.type not in DTYPES:
            return None
        else:
            values = np.frombuffer(bytes(data), DTYPES[tensor.type]).reshape(tensor.shape)
            fixed.append(values.tolist())
    numbers = [values for values in fixed if values is not None]
    builtin = builtin_of(model.root, operator)
    if builtin in ELEMENTWISE and all(subgraph.tensors[i].type == TYPES[FLOAT32] for i in sources):
        return partial(_elementwise, builtin, fixed)
    if len(sources) > 1:
        return None
    if builtin in (BUILTINS.GATHER, BUILTINS.EMBEDDING_LOOKUP):
        return partial(_rows, numbers[0])
    if builtin == BUILTINS.SLICE:
        return partial(_part, *numbers)
    if builtin == BUILTINS.RESHAPE:
        return partial(_reshaped, numbers[0])
    return None


def _rows(ids, values):
    return values[ids]


def _part(begin, size, values):
    return values[tuple(slice(first, first + count) for first, count in zip(begin, size))]


def _reshaped(shape, values):
    return values.reshape(shape)


def _elementwise(builtin, fixed, *values):
    """Computes with float32 numbers, or a choice, in the places that are not None."""
    given = iter(values)
    operands = [
        next(given) if numbers is None else _as_operand(np.array(numbers)) for numbers in fixed
    ]
    return ELEMENTWISE[builtin](*operands)


def _as_operand(numbers):
    return numbers if numbers.dtype == bool else numbers.astype(FLOAT32)
