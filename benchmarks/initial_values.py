"""Reads the initial values of a bundle's parameters out of its model file, one at a time.

In a signature `initialize_k` every variable's values are a constant of the variable's name, an
external buffer: its offset and size stand in the flatbuffer, its bytes behind it in the file.
"""

from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketllm.runtime import contract
from pocketllm.runtime.bundle import Bundle
from pocketllm.runtime.errors import InputError


def initial_values(bundle: Bundle) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (parameter name, float32 values in the checkpoint's shape) of a bundle."""
    offsets = _offsets(bundle)
    for parameter in bundle.parameters:
        values = np.empty(parameter.shape, np.float32)
        for variable in parameter.variables:
            if variable.name not in offsets:
                raise InputError(
                    f"{bundle.model_path}: no initial values for {variable.name}; export it again"
                )
            count = int(np.prod(variable.shape))
            held = np.fromfile(
                bundle.model_path, np.float32, count, offset=offsets[variable.name]
            ).reshape(variable.shape)
            first, end = variable.rows or (0, parameter.shape[0])
            values[first:end] = held[0].T if parameter.transposed else held
        yield parameter.name, values


def _offsets(bundle):
    """Returns {variable name: offset of its values in the model file}."""
    # Mapped, so that only the pages of the flatbuffer itself are read.
    model = schema.Model.GetRootAs(np.memmap(bundle.model_path, np.uint8, "r"), 0)
    wanted = {contract.numbered(contract.INITIALIZE, k).encode() for k in range(bundle.slices)}
    found = {}
    for signature in map(model.SignatureDefs, range(model.SignatureDefsLength())):
        if signature.SignatureKey() not in wanted:
            continue
        graph = model.Subgraphs(signature.SubgraphIndex())
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            buffer = model.Buffers(tensor.Buffer())
            if buffer.Offset():
                found[tensor.Name().decode()] = buffer.Offset()
    return found
