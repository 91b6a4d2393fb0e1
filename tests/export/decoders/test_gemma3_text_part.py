"""The text part of a Gemma 3 that also reads images, under the names of both its generations."""

import json

import decoder_cases
import numpy as np
import pytest
from checkpoint_files import refusal
from forward import relative_error
from opt_forward import opt_inputs, score_arrays
from small_runs import complaint, pocketllm

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.contract import LOGITS, LOSS, forward_loss_for

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5
# What stands before the names of the text's tensors, and of the head's: as published, and as the
# classes of transformers 5 have them.
PREFIXES = {
    "published": ("language_model.model.", "language_model."),
    "v5": ("model.language_model.", ""),
}


def whole_config(**changes):
    from pocketllm.export.models import text_values

    text = {"model_type": "gemma3_text", "hidden_size": 16}
    return text_values({"model_type": "gemma3", "text_config": text} | changes, "config.json")


def test_the_whole_model_says_whether_the_head_is_tied_and_how_a_text_ends():
    text = whole_config(tie_word_embeddings=False, eos_token_id=[1, 106], vision_config={})
    assert text == {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 16,
        "tie_word_embeddings": False, "eos_token_id": [1, 106],
    }  # fmt: skip

    inner = {"hidden_size": 16, "tie_word_embeddings": False, "eos_token_id": 3}
    text = whole_config(text_config=inner, eos_token_id=[1, 106])
    assert "tie_word_embeddings" not in text and text["eos_token_id"] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_config": None}, "model_type is 'gemma3' and text_config is None, expected"),
        ({"text_config": {"model_type": "gemma2"}}, "text_config has model_type 'gemma2', expect"),
        ({"text_config": {"final_logit_softcapping": 30.0}}, "uses in Gemma3ForCausalLM and not"),
    ],
)
def test_another_text_part_is_refused_in_one_line(changes, message):
    assert message in refusal(lambda: whole_config(**changes))


@pytest.fixture(scope="module")
def whole_model(tmp_path_factory):
    """A Gemma 3 of text and images as transformers saves it, with its tokenizer."""
    folder = tmp_path_factory.mktemp("gemma3") / "whole"
    decoder_cases.write_gemma3(folder)
    return folder


def renamed(whole, folder, names):
    """Copies a checkpoint, the text's tensors under other names."""
    from safetensors.torch import load_file, save_file

    before, above = PREFIXES[names]
    folder.mkdir()
    for path in whole.iterdir():
        if path.suffix == ".json":
            (folder / path.name).write_bytes(path.read_bytes())
    tensors = load_file(whole / "model.safetensors")
    other = {
        name.replace("language_model.model.", before): values for name, values in tensors.items()
    }
    assert any("vision" in name for name in other)
    embeddings = other[f"{before}embed_tokens.weight"]
    other[f"{above}lm_head.weight"] = embeddings.clone()
    save_file(other, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("names", PREFIXES)
def test_the_texts_tensors_are_read_under_their_names_of_both_generations(
    names, whole_model, tmp_path
):
    from pocketllm.export.checkpoint.reader import open_checkpoint
    from pocketllm.export.models import model_config, text_values
    from pocketllm.export.weights.weights import checkpoint_weights, remarks

    folder = renamed(whole_model, tmp_path / "model", names)
    values = json.loads((folder / "config.json").read_text())
    config = model_config(text_values(values, "config.json"), "config.json")

    weights = checkpoint_weights(config, open_checkpoint(folder))

    assert weights.tied and weights.copies == (f"{PREFIXES[names][1]}lm_head.weight",)
    stored = open_checkpoint(folder)
    for parameter in weights.parameters:
        name = PREFIXES[names][0] + parameter.name.removeprefix("model.")
        np.testing.assert_array_equal(weights.read(parameter), stored.read(name))
    lines = " ".join(remarks(weights))
    assert "before them" in lines and "vision_tower" in lines and "lm_head" not in lines


def test_the_text_part_has_the_scores_of_the_whole_and_becomes_a_model_of_its_own(
    whole_model, open_ready, tmp_path
):
    import torch
    from transformers import AutoModelForCausalLM

    folder = whole_model
    out, run, written = (tmp_path / name for name in ("bundle", "run", "written"))
    done = pocketllm(
        "export", f"--model={folder}", "--task=sst2", "--lengths=40", "--batch_size=3",
        f"--out={out}", timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the text part of 'gemma3', without what reads images" in done.stdout
    assert "ignored, the task uses none of: " in done.stdout and "vision_tower" in done.stdout
    bundle = read_bundle(out)
    assert bundle.architecture == "gemma3_text" and bundle.tied_decoder

    theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").double()
    assert type(theirs).__name__ == "Gemma3ForConditionalGeneration"
    inputs = opt_inputs(bundle, 40, seed=2)
    loss, logits, _ = score_arrays(theirs.eval(), bundle, inputs)
    actual = open_ready(bundle, "litert").engine.run(forward_loss_for(40), **inputs)
    assert relative_error(actual[LOSS], [loss]) <= TOLERANCE
    assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE

    data = tmp_path / "train.tsv"
    data.write_text("sentence\tlabel\na film\t1\n")
    for command in (
        ["train", f"--train={data}", "--steps=1", "--lr=0"],
        ["replay", f"--out={written}"],
    ):
        done = pocketllm(command[0], f"--bundle={out}", f"--run={run}", *command[1:])
        assert done.returncode == 0, done.stderr
    config = json.loads((written / "config.json").read_text())
    assert config["model_type"] == "gemma3_text" and "vision_config" not in config
    mine, loading = AutoModelForCausalLM.from_pretrained(written, output_loading_info=True)
    assert not any(loading.values()), loading
    assert type(mine).__name__ == "Gemma3ForCausalLM"
    ids = torch.tensor(inputs["input_ids"][:1])
    with torch.no_grad():
        error = relative_error(mine.double()(ids).logits.numpy(), theirs(ids).logits.numpy())
    assert error <= TOLERANCE and np.isfinite(error)


def test_a_whole_model_without_its_text_config_is_refused_by_the_command(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3"}))

    done = pocketllm("export", f"--model={tmp_path}", "--task=sst2", f"--out={tmp_path / 'out'}")

    complaint(done, 2, "model_type is 'gemma3' and text_config is None")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
