"""Schema objects of one subgraph: tensors, operators, handles of variables."""

import numpy as np

from ..private_interface import schema
from .model import TfliteModel, operator_code

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.uint32): schema.TensorType.UINT32,
    np.dtype(bool): schema.TensorType.BOOL,
}


def new_subgraph(name: str):
    """Returns an empty subgraph."""
    subgraph = schema.SubGraphT()
    subgraph.name = name.encode()
    subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [], [], [], []
    return subgraph


def add_tensor(subgraph, name: str, shape, dtype, buffer: int = 0) -> int:
    """Adds a tensor to a subgraph and returns its index."""
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name.encode(), list(shape), buffer
    tensor.type = TYPES[np.dtype(dtype)]
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1


def add_constant(model: TfliteModel, subgraph, name: str, value: np.ndarray) -> int:
    """Adds a small constant, stored in the flatbuffer itself, and returns its tensor's index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(value.tobytes(), np.uint8)
    model.root.buffers.append(buffer)
    return add_tensor(subgraph, name, value.shape, value.dtype, len(model.root.buffers) - 1)


def add_handle(model: TfliteModel, subgraph, name: str):
    """Adds the handle tensor of a resource variable; returns (tensor index, VAR_HANDLE)."""
    handle = schema.TensorT()
    handle.type, handle.shape, handle.buffer = schema.TensorType.RESOURCE, [1], 0
    handle.name = f"{name}/handle".encode()
    subgraph.tensors.append(handle)
    index = len(subgraph.tensors) - 1
    options = schema.VarHandleOptionsT()
    options.container, options.sharedName = "", name
    return index, new_operator(model, schema.BuiltinOperator.VAR_HANDLE, [], [index], options)


def new_operator(
    model: TfliteModel, builtin: int, inputs, outputs, options=None, *, version: int = 1
):
    """Returns an operator; the name of `options`, a schema options object, gives their type."""
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(model, builtin, version)
    operator.inputs, operator.outputs = list(inputs), list(outputs)
    if options is not None:
        name = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        operator.builtinOptions = options
    return operator


def new_read(model: TfliteModel, handle: int, into: int):
    """Returns the operator that reads a variable into a tensor."""
    builtin = schema.BuiltinOperator.READ_VARIABLE
    return new_operator(model, builtin, [handle], [into], schema.ReadVariableOptionsT())


def new_assignment(model: TfliteModel, handle: int, value: int):
    """Returns the operator that stores a tensor in a variable."""
    builtin = schema.BuiltinOperator.ASSIGN_VARIABLE
    return new_operator(model, builtin, [handle, value], [], schema.AssignVariableOptionsT())


def builtin_of(root: schema.ModelT, operator: schema.OperatorT) -> int:
    """Returns which built-in operator an operator is."""
    code = root.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)
