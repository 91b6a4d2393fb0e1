"""An input of a converted function becomes a constant, its products FULLY_CONNECTED.

A backward pass multiplies with the same matrix as it lies, [out, in]. FULLY_CONNECTED has no such
product: a second constant holds the transposed matrix, integers with a scale an input. In float32
BATCH_MATMUL has it, but XNNPACK packs the matrix anew for every one, in memory
(docs/decisions/0015-backward-pass-in-the-delegate.md).

FULLY_CONNECTED adds a constant bias by itself: the ADD behind it is folded in.
"""

from collections import defaultdict

import numpy as np

from pocketllm.runtime import contract

from ..private_interface import schema
from .constants import Constant, backward_of
from .model import TfliteModel, external_buffer
from .operators import add_tensor, builtin_of, new_operator

ADD = schema.BuiltinOperator.ADD
EMBEDDING_LOOKUP = schema.BuiltinOperator.EMBEDDING_LOOKUP
BATCH_MATMUL = schema.BuiltinOperator.BATCH_MATMUL
FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED
GATHER = schema.BuiltinOperator.GATHER
# Float rows with integer weights that have a scale an output; a table's that have a scale a row.
HYBRID_VERSION, SCALED_LOOKUP_VERSION = 12, 3
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
    is_looked_up = any(builtin_of(model.root, user) == GATHER for user in users)
    if is_looked_up and constant.is_quantised and tensor.type == schema.TensorType.FLOAT32:
        _look_up(model, tensor, constant, users)
        return
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
    other = add_tensor(subgraph, backward_of(name), shape[::-1], np.float32)
    _fill(model, subgraph.tensors[other], backward_of(name), constant, shape[::-1])
    for operator in backward:
        operator.inputs = [operator.inputs[0], other]
        connect_fully(model, operator, hybrid=constant.is_quantised)


def _look_up(model, tensor, constant, users):
    """Makes a tensor a table of integers with a scale a row, and its GATHERs EMBEDDING_LOOKUP.

    These give float32 rows in one operator; accelerators crash on a GATHER of integers.
    """
    _fill(model, tensor, constant.name, constant, constant.shape)
    for operator in users:
        inputs, version = [operator.inputs[1], operator.inputs[0]], SCALED_LOOKUP_VERSION
        replacement = new_operator(
            model, EMBEDDING_LOOKUP, inputs, operator.outputs, version=version
        )
        vars(operator).update(vars(replacement))


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


def is_matmul(model: TfliteModel, operator: schema.OperatorT) -> bool:
    """Whether an operator is BATCH_MATMUL."""
    return builtin_of(model.root, operator) == BATCH_MATMUL


def connect_fully(model: TfliteModel, operator: schema.OperatorT, *, hybrid: bool) -> None:
    """Turns a BATCH_MATMUL whose second input is a constant [out, in] into FULLY_CONNECTED.

    Args:
      model: the model.
      operator: rewritten in place.
      hybrid: whether the matrix is quantised, so that the rows are quantised as they come.
    """
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims, options.asymmetricQuantizeInputs = True, hybrid
    inputs = [*operator.inputs, -1]  # no bias yet
    version = HYBRID_VERSION if hybrid else 1
    replacement = new_operator(
        model, FULLY_CONNECTED, inputs, operator.outputs, options, version=version
    )
    vars(operator).update(vars(replacement))


def fold_biases(model: TfliteModel, subgraph: schema.SubGraphT) -> None:
    """Gives each FULLY_CONNECTED the constant bias that is added to its result alone."""
    consumers = defaultdict(list)
    for operator in subgraph.operators:
        for index in operator.inputs:
            consumers[index].append(operator)
    folded = set()
    for operator in subgraph.operators:
        if builtin_of(model.root, operator) != FULLY_CONNECTED or operator.inputs[2] != -1:
            continue
        users = consumers[operator.outputs[0]]
        if len(users) != 1 or builtin_of(model.root, users[0]) != ADD:
            continue
        (bias,) = [index for index in users[0].inputs if index != operator.outputs[0]]
        tensor, matrix = subgraph.tensors[bias], subgraph.tensors[operator.inputs[1]]
        if tensor.buffer and list(tensor.shape) == list(matrix.shape[:1]):
            operator.inputs[2], operator.outputs = bias, users[0].outputs
            activation = users[0].builtinOptions.fusedActivationFunction
            operator.builtinOptions.fusedActivationFunction = activation
            folded.add(id(users[0]))
    subgraph.operators = [o for o in subgraph.operators if id(o) not in folded]
