"""A pure forward pass is one partition for an NPU's compiler: OpenVINO's, on its CPU device."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import npu_probe
import numpy as np
import openvino_libraries
import pytest
from frozen_cases import inputs_of
from model_parts import one_signature, with_float_products
from pure_bundles import TOKENS, pure_bundle

from pocketllm.runtime.contract import LOSS, forward_pure_for, forward_pure_pair_for
from pocketllm.runtime.engine.interpreter import InterpreterEngine

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5  # of a loss
PARTITIONED = r"selected (\d+) ops, from a total of (\d+) ops. resulted in (\d+) partitions"


@pytest.mark.parametrize(
    ("tuning", "signature"),
    [
        ("full", forward_pure_for(TOKENS)),
        ("lora on int8", forward_pure_for(TOKENS)),
        ("lora on int8", forward_pure_pair_for(TOKENS)),
    ],
)
def test_a_compiler_of_npus_takes_a_pure_forward_pass_whole(
    tuning, signature, make_bundle, open_ready, tmp_path
):
    environment = os.environ | openvino_libraries.needed()
    bundle = pure_bundle(make_bundle, tuning)
    inputs = inputs_of(bundle, TOKENS) | trained(open_ready(bundle, "litert"), bundle, signature)
    paths = [tmp_path / name for name in ("model.tflite", "inputs.npz", "outputs.npz")]
    one_signature(bundle, signature, paths[0])
    np.savez(paths[1], **inputs)

    done = subprocess.run(
        [sys.executable, npu_probe.__file__, *paths],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-2000:]
    ((accepted, count, partitions),) = re.findall(PARTITIONED, done.stderr + done.stdout)
    assert int(accepted) == int(count) > 100 and int(partitions) == 1
    outputs = np.load(paths[2])
    assert outputs["whole"]
    expected = of_floats(bundle, signature, tmp_path, inputs)
    assert outputs[LOSS] == pytest.approx(expected, rel=0, abs=TOLERANCE)


def trained(model, bundle, signature):
    """Returns values of all that is trained, near the initial ones, in a signature's shapes."""
    rng = np.random.default_rng(5)
    theta = dict(model.read())
    shapes = bundle.signatures[signature]["inputs"]
    return {
        name: (value + 1e-2 * rng.standard_normal(shapes[name][1])).astype(np.float32)
        for name, value in theta.items()
    }


def of_floats(bundle, signature, folder, inputs):
    """Returns the loss on the processor, which multiplies the weights' values in float32."""
    copy = shutil.copytree(bundle.folder, folder / "floats")
    floats = replace(bundle, folder=copy)
    if bundle.base == "int8":
        with_float_products(floats)
    one_signature(floats, signature, folder / "floats.tflite")
    engine = InterpreterEngine("litert", folder / "floats.tflite", threads=1)
    return engine.run(signature, **inputs)[LOSS]
