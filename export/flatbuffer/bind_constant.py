"""An input of a converted function becomes a constant, its products FULLY_CONNECTED.

A backward pass multiplies with the same matrix as it lies, [out, in]. In float32 that is a
product with the same bytes. Integers with a scale an output have no such product: a second constant
holds the transposed matrix, rounded with a scale an input.
"""

import numpy as np

from pocketllm.runtime import contract

from ..private_interface import schema
from .constants import Constant, backward_of
from .fully_connected import connect_fully, is_matmul
from .model import TfliteModel, external_buffer
from .operators import add_tensor

INTEGERS = {contract.INT8: schema.TensorType.INT8, contract.INT4: schema.TensorType.INT4}


def bind_constant(
    model: TfliteModel, subgraph: schema.SubGraphT, index: int, constant: Constant
) -> None:
    """Makes input tensor `index` a constant, and the products with it FULLY_CONNECTED.

    An input that the function does not use gets no buffer; a constant that no function uses has no
    bytes in the file.
    """
    tensor, name = subgraph.tensors[index], constant.name
    users = [operator for operator in subgraph.operators if index in operator.inputs]
    if not all(is_matmul(model, operator) for operator in users):
        tensor.buffer = external_buffer(model, name, constant.stored_bytes)
        return
    # The forward pass multiplies with the transposed matrix.
    forward = [user for user in users if user.builtinOptions.adjY]
    backward = [user for user in users if not user.builtinOptions.adjY]
    shape = list(constant.shape)
    if forward:
        _fill(model, tensor, name, constant, shape)
    for operator in forward:
        connect_fully(model, operator, hybrid=constant.is_quantised)
    if not backward:
        return
    other = add_tensor(subgraph, backward_of(name), [1, *shape], np.float32)
    if constant.is_quantised:
        _fill(model, subgraph.tensors[other], backward_of(name), constant, shape[::-1])
    else:
        _fill(model, subgraph.tensors[other], name, constant, [1, *shape])
    for operator in backward:
        operator.inputs = [operator.inputs[0], other]
        if constant.is_quantised:
            connect_fully(model, operator, hybrid=True)


def _fill(model, tensor, key, constant, shape):
    """Gives a tensor the external buffer of `key`, as values of this shape and storage."""
    tensor.buffer, tensor.shape = external_buffer(model, key, constant.stored_bytes), shape
    if constant.is_quantised:
        tensor.type = INTEGERS[constant.storage]
        tensor.quantization = _quantisation(model, key, shape[0])


def _quantisation(model, key, channels):
    """Returns quantisation with one scale a row, known only when the values are streamed."""
    quantisation = schema.QuantizationParametersT()
    quantisation.scale = model.scales.setdefault(key, np.zeros(channels, np.float32))
    quantisation.zeroPoint = np.zeros(channels, np.int64)
    quantisation.quantizedDimension = 0
    return quantisation
