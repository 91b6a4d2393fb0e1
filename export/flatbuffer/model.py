"""A TFLite model under construction: schema objects, external buffers, signatures.

A buffer is *external* when the flatbuffer holds only its offset and size, and its bytes lie behind
the flatbuffer in the same file (docs/decisions/0012-external-buffers.md).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ..private_interface import pack, place_buffers, schema

PAGE = 4096
# XNNPACK needs 16 bytes, a memory-mapped tensor of the interpreters 64.
ALIGNMENT = 64


@dataclass(frozen=True)
class Folded:
    """Values that operators make of frozen parameters, whatever comes in.

    Attributes:
      parts: the name of the one constant that they are made of, or several of which they are.
      steps: values -> values, in order; the first takes the rows of the constant, or the values of
        all parts.
    """

    parts: "tuple[str] | tuple[Folded, ...]"
    steps: tuple[partial[np.ndarray], ...]

    @property
    def description(self) -> str:
        """Two are alike where constants, operators and numbers are."""
        parts = [part if isinstance(part, str) else part.description for part in self.parts]
        return repr([*parts, *((step.func.__name__, step.args) for step in self.steps)])

    def values(self, stored: np.ndarray, scales: np.ndarray | None) -> np.ndarray:
        """Returns the values, from those of the constant and, where it is quantised, its scales."""
        values = _after(self.steps[:1], stored)
        if scales is not None:
            values = values.astype(np.float32) * _after(self.steps[:1], scales[:, None])
        return _after(self.steps[1:], values)

    def joined(self, parts: "dict[Folded, np.ndarray]") -> np.ndarray | None:
        """Returns the values, from those of what one constant makes; None where one lacks."""
        if self in parts or isinstance(self.parts[0], str):
            return parts.get(self)
        operands = [part.joined(parts) for part in self.parts if isinstance(part, Folded)]
        if any(values is None for values in operands):
            return None
        first, *rest = self.steps
        return _after(rest, first(*operands))

    def leaves(self) -> "Iterator[Folded]":
        """Yields what of it one constant makes."""
        for part in self.parts:
            if isinstance(part, str):
                yield self
            else:
                yield from part.leaves()


def _after(steps, values):
    for step in steps:
        values = step(values)
    return values


@dataclass
class TfliteModel:
    """The parts added so far.

    Attributes:
      root: the schema's root object; subgraphs and signatures grow as functions are added.
      externals: key of every external buffer -> its index.
      scales: key of every quantised matrix -> the scales of its rows, which `serialise` packs.
      folded: key -> values that are made of constants'.
      computed: key -> values that no weight has.
    """

    root: schema.ModelT
    externals: dict[str, int] = field(default_factory=dict)
    scales: dict[str, np.ndarray] = field(default_factory=dict)
    folded: dict[str, Folded] = field(default_factory=dict)
    computed: dict[str, np.ndarray] = field(default_factory=dict)


def new_model(description: str) -> TfliteModel:
    """Starts an empty model."""
    root = schema.ModelT()
    root.version = 3
    root.description = description
    root.buffers = [schema.BufferT()]  # buffer 0 means "no data"
    root.operatorCodes, root.subgraphs, root.signatureDefs = [], [], []
    return TfliteModel(root)


def operator_code(model: TfliteModel, builtin: int, version: int = 1) -> int:
    """Returns the index of an operator code, added on first use."""
    for index, code in enumerate(model.root.operatorCodes):
        if (code.builtinCode, code.version) == (builtin, version):
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.version = builtin, version
    code.deprecatedBuiltinCode = min(builtin, 127)
    model.root.operatorCodes.append(code)
    return len(model.root.operatorCodes) - 1


def external_buffer(model: TfliteModel, key: str, size_bytes: int) -> int:
    """Returns the index of the external buffer of `key`; `serialise` gives it an offset."""
    if key not in model.externals:
        buffer = schema.BufferT()
        buffer.offset, buffer.size = 1, size_bytes
        model.root.buffers.append(buffer)
        model.externals[key] = len(model.root.buffers) - 1
    return model.externals[key]


def add_signature(
    model: TfliteModel, name: str, subgraph, inputs: dict[str, int], outputs: dict[str, int]
) -> None:
    """Adds a signature, and its subgraph if the model does not have it yet.

    Args:
      model: the model.
      name: signature key.
      subgraph: the schema object; a second signature on the same subgraph is an alias.
      inputs: name -> tensor index.
      outputs: name -> tensor index.
    """
    places = {id(subgraph): place for place, subgraph in enumerate(model.root.subgraphs)}
    if id(subgraph) not in places:
        places[id(subgraph)] = len(model.root.subgraphs)
        subgraph.inputs, subgraph.outputs = list(inputs.values()), list(outputs.values())
        model.root.subgraphs.append(subgraph)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = name, places[id(subgraph)]
    signature.inputs, signature.outputs = _tensor_maps(inputs), _tensor_maps(outputs)
    model.root.signatureDefs.append(signature)


def _tensor_maps(tensors):
    entries = []
    for name, index in tensors.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        entries.append(entry)
    return entries


def serialise(model: TfliteModel) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """Packs the flatbuffer and gives every external buffer its place behind it.

    Returns:
      (the flatbuffer, {key: (offset, size in bytes) from the start of the file}).
    """
    packed = bytearray(pack(model.root))
    offset = math.ceil(len(packed) / PAGE) * PAGE
    places = {}
    for key, index in model.externals.items():
        size = model.root.buffers[index].size
        places[key] = (offset, size)
        offset = math.ceil((offset + size) / ALIGNMENT) * ALIGNMENT
    # Offsets are fixed-width: writing them moves nothing, and packing again takes as long.
    place_buffers(packed, {index: places[key][0] for key, index in model.externals.items()})
    return bytes(packed), places
