"""OPT-1.3B at full size, from a sharded half-precision checkpoint as published: 10 GB of disk."""

import gc
import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ENGINES, OPT_TOKENIZER
from forward import relative_error

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.tflite_models.presets import PRESETS

# Of both sides in float32; at tiny sizes, against float64, 1e-5 holds.
TOLERANCE = 1e-4
TOKENS = 64

# In a process of its own: what it leaves allocated would weigh on the rest.
WRITE = """
import json, sys, torch
from transformers import OPTConfig, OPTForCausalLM
config = OPTConfig(**json.load(open(sys.argv[1])))
torch.manual_seed(0)
torch.set_default_dtype(torch.float16)
model = OPTForCausalLM(config)
for name, held in model.named_parameters():
    if held.ndim == 1:
        held.data += (0.3 * torch.randn(held.shape)).half()
model.save_pretrained(sys.argv[2], max_shard_size="1GB")
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Random weights in three shards of float16, biases and layer norms random too."""
    folder = tmp_path_factory.mktemp("opt-1.3b") / "checkpoint"
    config = str(PRESETS["opt-1.3b"].config_path)
    subprocess.run([sys.executable, "-c", WRITE, config, str(folder)], check=True)
    for path in OPT_TOKENIZER.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert len(list(folder.glob("*.safetensors"))) == 3
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoint):
    """Exported by the command, in a process of its own; its peak memory is checked."""
    out, result = checkpoint.parent / "bundle", checkpoint.parent / "export.json"
    # Not ru_maxrss: a process starts with that of the one that started it.
    code = (
        "import sys; from pocketllm.runtime.cli import main;"
        "from pocketllm.runtime.host.memory import PeakMemory; memory = PeakMemory();"
        "code = main(sys.argv[1:]); print(memory.stop().rss_bytes); sys.exit(code)"
    )
    arguments = ["--task=boolq", f"--lengths={TOKENS}", f"--out={out}", f"--json={result}"]
    done = subprocess.run(
        [sys.executable, "-c", code, "export", f"--model={checkpoint}", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    peak_bytes = int(done.stdout.splitlines()[-1])
    stages = json.loads(result.read_text())
    print(
        f"export: {peak_bytes / 1e9:.2f} GB at most, {stages['model_bytes'] / 1e9:.2f} GB written"
    )
    assert stages["model_bytes"] > 5.2e9 and peak_bytes < 3e9
    return read_bundle(out)


def forward_inputs(vocab_size):
    rng = np.random.default_rng(1)
    lengths = np.array([TOKENS, TOKENS - 1, 40, 33, 20, 12, 9, 3])
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int32)
    ids = rng.integers(4, vocab_size - 10, mask.shape)
    return {
        "input_ids": np.where(mask, ids, 1).astype(np.int32),
        "attention_mask": mask,
        "last_position": (lengths - 1).astype(np.int32),
        "label": rng.integers(0, 2, len(lengths)).astype(np.int32),
        "weight": np.ones(len(lengths), np.float32),
    }


@pytest.fixture(scope="module")
def expected(checkpoint, bundle):
    """(inputs, loss, logits [8, 2]) by transformers in float32."""
    import torch
    from transformers import OPTForCausalLM

    inputs = forward_inputs(bundle.config["vocab_size"])
    model = OPTForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    ids, mask = (torch.tensor(inputs[name]) for name in ("input_ids", "attention_mask"))
    with torch.no_grad():
        scores = model(ids.long(), attention_mask=mask).logits
    logits = scores[torch.arange(len(ids)), inputs["last_position"]][:, list(bundle.word_ids)]
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(inputs["label"]).long())
    result = inputs, float(loss), logits.numpy().copy()
    del model, scores
    gc.collect()
    return result


@pytest.mark.desktop
@pytest.mark.slow
@pytest.mark.parametrize("engine_name", ENGINES)
def test_opt_1_3b_is_that_of_transformers(engine_name, bundle, expected, open_ready):
    inputs, loss, logits = expected
    assert np.ptp(logits) > 0.5, "logits that hardly vary prove nothing"
    offsets = [v.offset for v in bundle.variables]
    assert max(offsets) > 2**32, "some values lie past 4 GB"

    actual = open_ready(bundle, engine_name).engine.run(contract.forward_loss_for(TOKENS), **inputs)

    errors = (
        relative_error(actual[contract.LOSS], [loss]),
        relative_error(actual[contract.LOGITS], logits),
    )
    print(
        f"opt-1.3b, {engine_name}: relative error of loss {errors[0]:.1e}, logits {errors[1]:.1e}"
    )
    gc.collect()  # the engine's 5 GB, before the next one's
    assert max(errors) <= TOLERANCE
