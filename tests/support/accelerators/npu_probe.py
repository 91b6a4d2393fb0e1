"""Runs a model of one signature as on an NPU: through OpenVINO's compiler, on its CPU device.

`python npu_probe.py MODEL INPUTS.npz OUTPUTS.npz`, with OpenVINO's libraries on LD_LIBRARY_PATH.
What LiteRT says of partitions goes to stderr.
"""

import sys
from pathlib import Path

import ai_edge_litert
import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.environment import Environment
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.options import IntelOpenVinoGraphBackend, IntelOpenVinoOptions, Options

VENDOR = Path(ai_edge_litert.__file__).parent / "vendors" / "intel_openvino"


def main(model: str, inputs_path: str, outputs_path: str) -> None:
    """Runs it once."""
    environment = Environment.create(
        compiler_plugin_path=str(VENDOR / "compiler"),
        dispatch_library_path=str(VENDOR / "dispatch"),
    )
    options = Options(
        hardware_accelerators=HardwareAccelerator.CPU | HardwareAccelerator.NPU,
        intel_openvino_options=IntelOpenVinoOptions(graph_backend=IntelOpenVinoGraphBackend.CPU),
    )
    compiled = CompiledModel.from_file(model, environment=environment, options=options)
    ((signature, names),) = compiled.get_signature_list().items()
    given = np.load(inputs_path)
    inputs, outputs = {}, {}
    for name in names["inputs"]:
        inputs[name] = compiled.create_input_buffer_by_name(signature, name)
        inputs[name].write(np.ascontiguousarray(given[name]))
    for name in names["outputs"]:
        outputs[name] = compiled.create_output_buffer_by_name(signature, name)
    compiled.run_by_name(signature, inputs, outputs)
    shapes = compiled.get_output_tensor_details(signature)
    results = {}
    for name, buffer in outputs.items():
        shape = shapes[name]["shape"]
        results[name] = buffer.read(int(np.prod(shape)), np.float32).reshape(shape)
    np.savez(outputs_path, whole=compiled.is_fully_accelerated(), **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
