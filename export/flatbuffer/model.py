"""A TFLite model under construction: schema objects, external buffers, signatures.

A buffer is *external* when only its offset and size stand in the flatbuffer and its bytes lie
behind it in the same file (`Buffer.offset/size`), which both interpreters read, also beyond 2 GB.
"""

import math
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FILE_IDENTIFIER = b"TFL3"
PAGE = 4096
# XNNPACK wants 16 bytes, a memory-mapped tensor of the interpreters 64.
ALIGNMENT = 64

TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.uint32): schema.TensorType.UINT32,
}


@dataclass
class Graph:
    """What has been added so far.

    Attributes:
      model: the schema object; subgraphs and signatures grow as functions are added.
      externals: key of every external value -> its buffer's index.
      scales: key of every quantised matrix -> the scales of its rows, which `serialise` packs.
    """

    model: schema.ModelT
    externals: dict[str, int] = field(default_factory=dict)
    scales: dict[str, np.ndarray] = field(default_factory=dict)


def new_graph(description: str) -> Graph:
    """Starts an empty model."""
    model = schema.ModelT()
    model.version = 3
    model.description = description
    model.buffers = [schema.BufferT()]  # buffer 0 stands for "no data"
    model.operatorCodes, model.subgraphs, model.signatureDefs = [], [], []
    return Graph(model)


def opcode(graph: Graph, code: int, version: int = 1) -> int:
    """Returns the index of an operator code, added on first use."""
    for index, known in enumerate(graph.model.operatorCodes):
        if (known.builtinCode, known.version) == (code, version):
            return index
    added = schema.OperatorCodeT()
    added.builtinCode, added.version = code, version
    added.deprecatedBuiltinCode = min(code, 127)
    graph.model.operatorCodes.append(added)
    return len(graph.model.operatorCodes) - 1


def builtin_code(model: schema.ModelT, made: schema.OperatorT) -> int:
    """Returns which built-in operator `made` is."""
    code = model.operatorCodes[made.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def external_buffer(graph: Graph, key: str, size_bytes: int) -> int:
    """Returns the index of the external buffer of `key`; its place is given by `serialise`."""
    if key not in graph.externals:
        buffer = schema.BufferT()
        buffer.offset, buffer.size = 1, size_bytes
        graph.model.buffers.append(buffer)
        graph.externals[key] = len(graph.model.buffers) - 1
    return graph.externals[key]


def tensor(subgraph, name: str, shape, dtype, buffer: int = 0) -> int:
    """Adds a tensor to a subgraph and returns its index."""
    added = schema.TensorT()
    added.name, added.shape, added.buffer = name.encode(), list(shape), buffer
    added.type = TYPES[np.dtype(dtype)]
    subgraph.tensors.append(added)
    return len(subgraph.tensors) - 1


def constant(graph: Graph, subgraph, name: str, value: np.ndarray) -> int:
    """Adds a small constant, held in the flatbuffer itself, and returns its tensor's index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(value.tobytes(), np.uint8)
    graph.model.buffers.append(buffer)
    return tensor(subgraph, name, value.shape, value.dtype, len(graph.model.buffers) - 1)


def operator(graph: Graph, code: int, inputs, outputs, options=None, version: int = 1):
    """Makes an operator; `options` is a schema options object, its type found by its name."""
    made = schema.OperatorT()
    made.opcodeIndex = opcode(graph, code, version)
    made.inputs, made.outputs = list(inputs), list(outputs)
    if options is not None:
        name = type(options).__name__.removesuffix("T")
        made.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        made.builtinOptions = options
    return made


def variable_handle(graph: Graph, subgraph, name: str):
    """Adds the handle tensor of a resource variable; returns (tensor index, VAR_HANDLE)."""
    handle = schema.TensorT()
    handle.type, handle.shape, handle.buffer = schema.TensorType.RESOURCE, [1], 0
    handle.name = f"{name}/handle".encode()
    subgraph.tensors.append(handle)
    index = len(subgraph.tensors) - 1
    options = schema.VarHandleOptionsT()
    options.container, options.sharedName = "", name
    return index, operator(graph, schema.BuiltinOperator.VAR_HANDLE, [], [index], options)


def read_variable(graph: Graph, handle: int, into: int):
    """Makes the operator that reads a variable into a tensor."""
    code = schema.BuiltinOperator.READ_VARIABLE
    return operator(graph, code, [handle], [into], schema.ReadVariableOptionsT())


def assign_variable(graph: Graph, handle: int, value: int):
    """Makes the operator that stores a tensor in a variable."""
    code = schema.BuiltinOperator.ASSIGN_VARIABLE
    return operator(graph, code, [handle, value], [], schema.AssignVariableOptionsT())


def new_subgraph(name: str):
    """Makes an empty subgraph."""
    subgraph = schema.SubGraphT()
    subgraph.name = name.encode()
    subgraph.tensors, subgraph.operators, subgraph.inputs, subgraph.outputs = [], [], [], []
    return subgraph


def add_signature(graph: Graph, name: str, subgraph, inputs: dict, outputs: dict) -> None:
    """Adds a subgraph (once) and a signature on it.

    Args:
      graph: the model.
      name: signature key.
      subgraph: the schema object; a second signature on the same one is an alias.
      inputs: name -> tensor index.
      outputs: name -> tensor index.
    """

    def tensor_map(names):
        maps = []
        for key, index in names.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = key, index
            maps.append(entry)
        return maps

    subgraphs = graph.model.subgraphs
    if not any(known is subgraph for known in subgraphs):
        subgraph.inputs, subgraph.outputs = list(inputs.values()), list(outputs.values())
        subgraphs.append(subgraph)
    signature = schema.SignatureDefT()
    signature.signatureKey = name
    signature.subgraphIndex = next(i for i, known in enumerate(subgraphs) if known is subgraph)
    signature.inputs, signature.outputs = tensor_map(inputs), tensor_map(outputs)
    graph.model.signatureDefs.append(signature)


def serialise(graph: Graph) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """Packs the flatbuffer and places the external values behind it.

    Returns:
      (the flatbuffer, {key: (offset, size in bytes) from the start of the file}).
    """
    length = len(_pack(graph.model))
    offset = math.ceil(length / PAGE) * PAGE
    places = {}
    for key, index in graph.externals.items():
        buffer = graph.model.buffers[index]
        buffer.offset = offset
        places[key] = (offset, buffer.size)
        offset = math.ceil((offset + buffer.size) / ALIGNMENT) * ALIGNMENT
    packed = _pack(graph.model)
    assert len(packed) == length, "offsets are fixed-width: packing again must not move anything"
    return bytes(packed), places


def _pack(model):
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return builder.Output()
