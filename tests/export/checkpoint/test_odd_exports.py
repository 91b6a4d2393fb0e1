"""Two checkpoints of the kind that people bring, through the commands: transformers' losses."""

import json

import numpy as np
import pytest
import tiny
from small_runs import pocketllm
from tokenizer_files import gpt2_class, roberta_class

from pocketllm.runtime import evaluate, load_dataset, open_model, read_bundle

pytestmark = pytest.mark.desktop

TEXTS = ["great film", "film was a", "a  <url> film", "terrible", "It was"]
WORDS = (" terrible", " great")


def export(checkpoint, out):
    """Runs `pocketllm export`; returns what it printed."""
    flags = ["--task=sst2", "--lengths=24", "--batch_size=2"]
    done = pocketllm("export", *flags, f"--model={checkpoint}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def loss_of(bundle_folder, path):
    """Evaluates TEXTS, labelled in turn, with a bundle as exported."""
    rows = [f"{text}\t{number % 2}\n" for number, text in enumerate(TEXTS)]
    path.write_text("sentence\tlabel\n" + "".join(rows))
    bundle = read_bundle(bundle_folder)
    model = open_model(bundle)
    model.initialize()
    return evaluate(model, load_dataset(path, bundle)).loss


def reference(model, tokenizer, row_of):
    """The loss with transformers' model and tokenizer; row_of(text) -> (ids, scored position)."""
    import torch

    words = [tokenizer.encode(word, add_special_tokens=False)[0] for word in WORDS]
    losses = []
    for number, text in enumerate(TEXTS):
        ids, position = row_of(text)
        with torch.no_grad():
            logits = model.double().eval()(torch.tensor([ids])).logits[0, position, words]
        losses.append(-torch.log_softmax(logits, -1)[number % 2].item())
    return np.mean(losses)


def test_a_roberta_of_a_training_script_with_slow_tokenizer_files(tmp_path):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, RobertaForMaskedLM

    folder = tiny.write_checkpoint(tmp_path / "odd", vocab_size=285, type_vocab_size=2)
    model = RobertaForMaskedLM.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    absent = ("type_vocab_size", "pad_token_id", "hidden_act", "model_type")
    config = {name: value for name, value in config.items() if name not in absent}
    (folder / "config.json").write_text(json.dumps(config | {"is_decoder": None}))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    tensors |= {"classifier.weight": torch.zeros(2, 16), "classifier.bias": torch.zeros(2)}
    state = {f"module.{name}": values for name, values in tensors.items()}
    torch.save({"state_dict": state, "epoch": 3}, folder / "pytorch_model.bin")
    settings = roberta_class(add_prefix_space=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "added_tokens.json").write_text('{"<url>": 284}')

    printed = export(folder, tmp_path / "bundle")

    assert "read without 'module.' before them" in printed
    assert "ignored, the task uses none of: module.classifier.weight, module.clas" in printed
    ignored = json.loads((tmp_path / "bundle/bundle.json").read_text())["ignored_tensors"]
    assert ignored == ["module.classifier.weight", "module.classifier.bias"]
    (folder / "config.json").write_text('{"model_type": "roberta"}')  # AutoTokenizer needs it
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def row_of(text):
        pieces = [tokenizer.encode(piece, add_special_tokens=False) for piece in (text, " It was")]
        ids = [tokenizer.cls_token_id, *pieces[0], *pieces[1], tokenizer.mask_token_id]
        end = tokenizer.encode(".", add_special_tokens=False)
        return [*ids, *end, tokenizer.sep_token_id], len(ids) - 1

    expected = reference(model, tokenizer, row_of)
    assert loss_of(tmp_path / "bundle", tmp_path / "dev.tsv") == pytest.approx(expected, rel=1e-6)


def test_an_opt_as_published_with_what_its_config_switches_off(tmp_path):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, OPTForCausalLM

    changes = {"_remove_final_layer_norm": True, "vocab_size": 296, "max_position_embeddings": 64}
    folder = tiny.write_opt_checkpoint(tmp_path / "odd", **changes)
    model = OPTForCausalLM.from_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    norm = "model.decoder.final_layer_norm"
    tensors |= {f"{norm}.weight": torch.ones(16), f"{norm}.bias": torch.zeros(16)}
    halves = {name.removeprefix("model."): values for name, values in tensors.items()}
    torch.save(halves, folder / "pytorch_model.bin")
    settings = json.dumps(gpt2_class(add_bos_token=True))
    (folder / "tokenizer_config.json").write_text(settings)

    printed = export(folder, tmp_path / "bundle")

    assert "ignored, the task uses none of: decoder.final_layer_norm.weight," in printed
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def row_of(text):
        ids = tokenizer(text + " It was").input_ids
        return ids, len(ids) - 1

    assert row_of("a")[0][0] == 2  # </s>, the token that this OPT's rows begin with
    expected = reference(model, tokenizer, row_of)
    assert loss_of(tmp_path / "bundle", tmp_path / "dev.tsv") == pytest.approx(expected, rel=1e-6)
