"""The adapter of a text part: PEFT loads it onto the whole model of text and images."""

from pathlib import Path

import decoder_cases
import pytest
from forward import relative_error
from opt_forward import opt_inputs, score_arrays
from tuned import lora_bundle, random_state

from pocketllm.runtime.contract import LOGITS, forward_loss_for

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5  # of float32 in the graph against float64
TOKENS = 16
TARGETS = ("q_proj", "self_attn.v_proj", "model.layers.1.mlp.up_proj")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A tiny Gemma 3 of text and images."""
    return decoder_cases.write_gemma3(tmp_path_factory.mktemp("gemma3") / "whole")


@pytest.mark.parametrize("kind", ["lora", "prefix"])
def test_peft_reads_the_adapter_onto_the_whole_model(
    kind, whole, make_bundle, open_ready, tmp_path
):
    from peft import AutoPeftModelForCausalLM

    from pocketllm.export.checkpoint.source_files import SourceFiles
    from pocketllm.export.results.adapter import write_adapter
    from pocketllm.export.results.origin import Origin, left_out

    settings = {"task": "cb", "lengths": (TOKENS,)}
    if kind == "lora":
        bundle = lora_bundle(make_bundle, whole, {"rank": 3, "targets": TARGETS}, **settings)
    else:
        bundle = make_bundle(whole, kind="prefix", prefix_tokens=6, **settings)
    model = open_ready(bundle, "litert")
    random_state(model, seed=7)

    origin = Origin(bundle, SourceFiles(str(whole), {}), 0, None, left_out(bundle))
    write_adapter(tmp_path, model, origin)

    theirs = AutoPeftModelForCausalLM.from_pretrained(tmp_path)
    matrices = [name for name, _ in theirs.named_parameters() if "lora_" in name]
    assert len(matrices) == (len(bundle.parameters) if kind == "lora" else 0)
    inputs = opt_inputs(bundle, TOKENS, seed=3)
    logits = score_arrays(theirs.double().eval(), bundle, inputs)[1]
    ours = model.engine.run(forward_loss_for(TOKENS), **inputs)[LOGITS][:2]
    assert relative_error(ours, logits) <= TOLERANCE
    assert "import AutoModelForCausalLM" in (tmp_path / "README.md").read_text()
