"""The model that runtime/engine/probe_model.py holds as text: an engine's private interface on it.

python tests/support/exports/probe_graph.py     # prints the module's text
"""

import base64
import zlib

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

VALUES = 4096  # four pages: two of them whole in any place
FLOAT32, INT32, RESOURCE = (
    schema.TensorType.FLOAT32, schema.TensorType.INT32, schema.TensorType.RESOURCE,
)  # fmt: skip
Operator, Options = schema.BuiltinOperator, schema.BuiltinOptions


class Graph:
    """A subgraph under construction; its operators run in the order in which they are added."""

    def __init__(self, codes: list[int]):
        self._codes = codes
        self.subgraph = schema.SubGraphT()
        self.subgraph.tensors, self.subgraph.operators = [], []

    def tensor(self, name: str, shape: tuple[int, ...], kind: int = FLOAT32) -> int:
        """Adds a tensor; returns its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), kind, 0
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def operator(self, code: int, inputs: list[int], outputs: list[int], options=None) -> None:
        """Adds an operator."""
        if code not in self._codes:
            self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index(code)
        operator.inputs, operator.outputs = inputs, outputs
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType, operator.builtinOptions = getattr(Options, name), options
        self.subgraph.operators.append(operator)

    def variable(self) -> int:
        """Adds the handle of the model's one variable."""
        options, handle = schema.VarHandleOptionsT(), self.tensor("handle", (), RESOURCE)
        options.container, options.sharedName = "", "value"
        self.operator(Operator.VAR_HANDLE, [], [handle], options)
        return handle


def probe_model() -> bytes:
    """Returns the model: `write(value, position) -> square, entry, double` and `read() -> value`.

    `write` also stores the value. Its square and its double could share a partition of the
    delegate but for the look-up between them: clustering would join them.
    """
    codes = []
    write, read = Graph(codes), Graph(codes)
    value = write.tensor("value", (VALUES,))
    position = write.tensor("position", (1,), INT32)
    square, entry = write.tensor("square", (VALUES,)), write.tensor("entry", (1,))
    double = write.tensor("double", (VALUES,))
    write.operator(Operator.MUL, [value, value], [square], schema.MulOptionsT())
    write.operator(Operator.GATHER, [value, position], [entry], schema.GatherOptionsT())
    write.operator(Operator.ADD, [value, value], [double], schema.AddOptionsT())
    write.operator(
        Operator.ASSIGN_VARIABLE, [write.variable(), value], [], schema.AssignVariableOptionsT()
    )
    out = read.tensor("value", (VALUES,))
    read.operator(Operator.READ_VARIABLE, [read.variable()], [out], schema.ReadVariableOptionsT())
    root = schema.ModelT()
    root.version, root.description, root.buffers = 3, "probe", [schema.BufferT()]
    root.subgraphs, root.operatorCodes = [write.subgraph, read.subgraph], []
    for code in codes:
        entry_code = schema.OperatorCodeT()
        entry_code.builtinCode, entry_code.version = code, 1
        entry_code.deprecatedBuiltinCode = min(code, 127)
        root.operatorCodes.append(entry_code)
    inputs = {"value": value, "position": position}
    outputs = {"square": square, "entry": entry, "double": double}
    root.signatureDefs = [
        _signature("write", 0, inputs, outputs, write.subgraph),
        _signature("read", 1, {}, {"value": out}, read.subgraph),
    ]
    builder = flatbuffers.Builder(1 << 12)
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _signature(name, index, inputs, outputs, subgraph):
    subgraph.inputs, subgraph.outputs = list(inputs.values()), list(outputs.values())
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = name, index
    for side, tensors in (("inputs", inputs), ("outputs", outputs)):
        entries = []
        for key, tensor in tensors.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = key, tensor
            entries.append(entry)
        setattr(signature, side, entries)
    return signature


if __name__ == "__main__":
    text = base64.b85encode(zlib.compress(probe_model(), 9)).decode()
    print(len(probe_model()), len(text))
    print(text)
