"""Adapters of decoders: PEFT loads them onto the checkpoint and computes the bundle's scores."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from forward import relative_error
from opt_forward import opt_inputs, score_arrays
from small_runs import pocketllm, rows, run_config, write_tsv
from tuned import lora_bundle, random_state

from pocketllm.runtime.contract import LOGITS, LOSS, forward_loss_for
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.run.loop import train

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5  # of float32 in the graph against float64
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TOKENS = 24
# (case, P): with and without a window, prefixes shorter and longer than it.
PREFIXES = [
    ("llama_wide", 3), ("llama_yarn", 2), ("qwen2", 3), ("qwen2", 7), ("qwen3", 4), ("gemma3", 2),
    ("gemma3", 6), ("gemma3_v4", 4), ("smollm3", 3), ("smollm3", 9),
]  # fmt: skip
LORAS = [
    ("llama", ()), ("llama_wide", ALL_LINEAR), ("qwen2", ALL_LINEAR),
    ("qwen3", ("o_proj", "up_proj")), ("gemma3", ALL_LINEAR), ("smollm3", ()),
]  # fmt: skip


@pytest.fixture
def adapter_of(tmp_path):
    """Writes the adapter of an open bundle as `replay` does: (model, base) -> folder."""

    def write(model, base) -> Path:
        from pocketllm.export.checkpoint.source_files import SourceFiles
        from pocketllm.export.results.adapter import write_adapter
        from pocketllm.export.results.origin import Origin

        folder = tmp_path / "adapter"
        folder.mkdir()
        write_adapter(folder, model, Origin(model.bundle, SourceFiles(str(base), {}), 0, None, ()))
        return folder

    return write


def loaded(checkpoint):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        checkpoint, attn_implementation="eager", dtype=torch.float32
    )


def check_scores(model, theirs):
    """Asserts that a bundle and PEFT's model give the same loss and scores."""
    inputs = opt_inputs(model.bundle, TOKENS, seed=3)
    loss, logits, _ = score_arrays(theirs.double().eval(), model.bundle, inputs)
    ours = model.engine.run(forward_loss_for(TOKENS), **inputs)
    assert relative_error(ours[LOSS], [loss]) <= TOLERANCE
    assert relative_error(ours[LOGITS][:2], logits) <= TOLERANCE


@pytest.mark.parametrize(("case", "tokens"), PREFIXES)
def test_peft_reads_a_prefix_and_gives_the_bundles_losses(
    case, tokens, make_decoder, make_bundle, open_ready, adapter_of
):
    from peft import AutoPeftModelForCausalLM, PeftModel, PrefixTuningConfig, get_peft_model

    checkpoint = make_decoder(case=case)
    settings = {"task": "cb", "lengths": (TOKENS,), "kind": "prefix", "prefix_tokens": tokens}
    model = open_ready(make_bundle(checkpoint, **settings), "litert")
    random_state(model, seed=7)

    folder = adapter_of(model, checkpoint)

    check_scores(model, PeftModel.from_pretrained(loaded(checkpoint), folder))
    # By itself, onto the base that it names, with the attention that transformers takes by default.
    check_scores(model, AutoPeftModelForCausalLM.from_pretrained(folder))
    # The sizes are those that PEFT takes of the base by itself.
    ours = json.loads((folder / "adapter_config.json").read_text())
    theirs = (
        get_peft_model(
            loaded(checkpoint), PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=tokens)
        )
        .peft_config["default"]
        .to_dict()
    )
    assert set(ours) <= set(theirs)
    changed = {key for key in ours if ours[key] != theirs[key]}
    assert changed <= {"base_model_name_or_path", "inference_mode"}


@pytest.mark.parametrize(("case", "targets"), LORAS)
def test_peft_reads_lora_of_any_layers_apart_and_merged(
    case, targets, make_decoder, make_bundle, open_ready, adapter_of
):
    from peft import AutoPeftModelForCausalLM, PeftModel

    checkpoint = make_decoder(case=case)
    settings = {"rank": 3, "alpha": 5.0, "targets": targets}
    bundle = lora_bundle(make_bundle, checkpoint, settings, task="cb", lengths=(TOKENS,))
    model = open_ready(bundle, "litert")
    random_state(model, seed=7)

    folder = adapter_of(model, checkpoint)

    theirs = PeftModel.from_pretrained(loaded(checkpoint), folder)
    layers = {name for name, _ in theirs.named_parameters() if "lora_" in name}
    assert len(layers) == len(bundle.parameters)
    check_scores(model, theirs)
    check_scores(model, theirs.merge_and_unload())
    check_scores(model, AutoPeftModelForCausalLM.from_pretrained(folder))


def test_a_run_of_a_prefix_is_written_and_undone(make_decoder, make_bundle, open_ready, tmp_path):
    from peft import PeftModel

    checkpoint = make_decoder(case="qwen3")
    bundle = make_bundle(checkpoint, lengths=(TOKENS,), kind="prefix", prefix_tokens=4)
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    model, run = open_ready(bundle, "litert"), tmp_path / "run"
    train(model, data, run, run_config(bundle, data, steps=12, lr=0.05, eps=0.05))
    flags = [f"--bundle={bundle.folder}", f"--run={run}", f"--out={tmp_path / 'out'}", "--undo"]

    done = pocketllm("replay", *flags, f"--base_model={checkpoint}", timeout=600)

    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'out'}: adapter of {run} at step 12" in done.stdout
    check_scores(model, PeftModel.from_pretrained(loaded(checkpoint), tmp_path / "out"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert f'base_model: "{checkpoint}"' in card and "- prefix-tuning" in card
    assert "# Prefix for " in card and "import Qwen3ForCausalLM" in card
    origin = json.loads((tmp_path / "out" / "pocketllm.json").read_text())
    assert (origin["tune"], origin["step"]) == ("prefix", 12)
    before = {path.name for path in (tmp_path / "out").iterdir()}
    assert before == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
        "pocketllm.json",
    }


@pytest.mark.parametrize(
    "changes",
    [{"num_key_value_heads": None}, {"num_key_value_heads": 3}, {"num_key_value_heads": "2"},
     {"num_hidden_layers": 1}],
)  # fmt: skip
def test_parameters_that_are_no_prefix_are_refused(changes, golden_bundle):
    from pocketllm.export.results.adapter import check_adapter

    shape = (4, 16)
    parameters = tuple(replace(golden_bundle.parameters[0], shape=shape) for _ in range(4))
    config = {"num_hidden_layers": 2, "num_key_value_heads": 2}
    prefix = {"tune": "prefix", "style": "causal", "architecture": "llama"}
    sound = replace(golden_bundle, parameters=parameters, config=config, **prefix)
    check_adapter(sound)

    with pytest.raises(InputError, match="are not the keys and values of"):
        check_adapter(replace(sound, config=config | changes))
    for others in ((), parameters[:3], (*parameters[:3], replace(parameters[0], shape=(4, 2)))):
        with pytest.raises(InputError, match="export the bundle again"):
            check_adapter(replace(sound, parameters=others))
