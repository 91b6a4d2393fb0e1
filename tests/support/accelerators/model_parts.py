"""A bundle's model with other parts: one signature alone, or float32 in the place of int8."""

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from bundle_json import rewrite

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_noise
from pocketllm.runtime.host.files import sha256_of

MATRIX_PRODUCT = schema.BuiltinOperator.FULLY_CONNECTED


def with_float_products(bundle: Bundle) -> None:
    """Stores the int8 matrices of a bundle's products as float32 ones of the same values.

    So what they are multiplied with is no longer rounded to int8 by the processor's kernels. Only
    the places that the native program reads are right again in bundle.json.
    """
    table = read_noise(bundle).table
    model = read_whole(bundle.model_path)
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            weights = subgraph.tensors[operator.inputs[1]] if len(operator.inputs) > 1 else None
            if code.builtinCode == MATRIX_PRODUCT and weights.type == schema.TensorType.INT8:
                _store_as_floats(model, weights)
    write(model, bundle.model_path)
    place = bundle.model_path.read_bytes().index(table.tobytes())
    entry = {"bytes": bundle.model_path.stat().st_size, "sha256": sha256_of(bundle.model_path)}

    def change(values):
        values["files"]["model.tflite"] = entry
        values["noise"]["offset"] = place

    rewrite(bundle.folder, change)


def _store_as_floats(model, tensor):
    scales = np.asarray(tensor.quantization.scale, np.float32)
    buffer = model.buffers[tensor.buffer]
    values = np.frombuffer(bytes(buffer.data), np.int8).reshape(tensor.shape)
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = (values * scales[:, None]).view(np.uint8).reshape(-1)
    tensor.buffer = len(model.buffers) - 1
    tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None


def one_signature(bundle: Bundle, name: str, out: Path) -> None:
    """Writes a model that has one signature of a bundle, and nothing else."""
    model = read_whole(bundle.model_path)
    (signature,) = (s for s in model.signatureDefs if s.signatureKey.decode() == name)
    subgraph = model.subgraphs[signature.subgraphIndex]
    signature.subgraphIndex = 0
    model.subgraphs, model.signatureDefs = [subgraph], [signature]
    used = {tensor.buffer for tensor in subgraph.tensors}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None
    write(model, out)


def read_whole(path: Path) -> schema.ModelT:
    """Returns a model with the values of its external buffers inside."""
    data = path.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    model.metadata, model.metadataBuffer = None, None
    return model


def write(model: schema.ModelT, path: Path) -> None:
    """Writes a model with all values inside."""
    builder = flatbuffers.Builder(1 << 24)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
