"""Checkpoints of decoders: transformers loads every key and computes the bundle's scores."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from decoder_cases import CASES, config_values
from forward import relative_error
from opt_forward import opt_inputs, score_arrays
from tuned import random_state

from pocketllm.runtime.contract import LOGITS, LOSS, forward_loss_for

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5  # of float32 in the graph against float64
TOKENS = 16
ENDS = [2, 5]
SMALL_FILES = {
    "generation_config.json": json.dumps({"eos_token_id": ENDS, "do_sample": True, "top_k": 3}),
    "chat_template.jinja": "{{ messages[0].content }}",
    "additional_chat_templates/tool.jinja": "{{ tools }}",
    "tokenizer.model": "a vocabulary of SentencePiece",
}


@pytest.fixture
def rewritten(make_bundle, open_ready, tmp_path):
    """Exports a checkpoint, draws other weights, writes them: (folder, dtype) -> (model, out)."""

    def write(checkpoint: Path, dtype: str = "fp32"):
        from pocketllm.export.checkpoint.source_files import collect_files, files_of_folder
        from pocketllm.export.results.checkpoint import write_checkpoint
        from pocketllm.export.results.origin import Origin

        model = open_ready(make_bundle(checkpoint, task="cb", lengths=(TOKENS,)), "litert")
        random_state(model, seed=7)
        files = collect_files(files_of_folder(checkpoint), "mine")
        out = tmp_path / "out"
        out.mkdir()
        write_checkpoint(out, model, dtype, Origin(model.bundle, files, 0, None, ()))
        return model, out

    return write


def loaded(folder, **settings):
    """Loads a checkpoint and asserts that no key is missing, unexpected or of another shape."""
    from transformers import AutoModelForCausalLM

    theirs, report = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True, **settings
    )
    assert not any(report.values()), report
    return theirs


def check_scores(model, theirs, tolerance=TOLERANCE):
    """Asserts that a bundle and transformers' model give the same loss and scores."""
    inputs = opt_inputs(model.bundle, TOKENS, seed=3)
    loss, logits, _ = score_arrays(theirs.double().eval(), model.bundle, inputs)
    ours = model.engine.run(forward_loss_for(TOKENS), **inputs)
    assert relative_error(ours[LOSS], [loss]) <= tolerance
    assert relative_error(ours[LOGITS][:2], logits) <= tolerance


def names_and_dtypes(folder):
    """Returns {tensor: dtype} of a folder's safetensors files, and how many files there are."""
    from safetensors import safe_open

    paths = sorted(folder.glob("*.safetensors"))
    dtypes = {}
    for path in paths:
        with safe_open(path, "pt") as tensors:
            dtypes |= {name: tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return dtypes, len(paths)


@pytest.mark.parametrize("case", CASES)
def test_transformers_loads_every_key_and_gives_the_bundles_losses(
    case, make_decoder, rewritten, tmp_path
):
    source = shutil.copytree(make_decoder(case=case), tmp_path / "source")
    for name, text in SMALL_FILES.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    # In the spelling of the case, which may be that of transformers 4.
    size = json.loads((source / "config.json").read_text())["vocab_size"]
    values = config_values(case, size) | {"eos_token_id": ENDS, "torch_dtype": "float32"}
    (source / "config.json").write_text(json.dumps(values))

    model, out = rewritten(source)

    theirs = loaded(out)
    theirs.save_pretrained(tmp_path / "theirs")
    assert names_and_dtypes(out) == names_and_dtypes(tmp_path / "theirs")
    check_scores(model, theirs)
    assert type(theirs).__name__ == theirs.config.architectures[0]
    assert theirs.config.eos_token_id == theirs.generation_config.eos_token_id == ENDS
    written = json.loads((out / "config.json").read_text())
    assert written == values | {"architectures": [type(theirs).__name__]}
    for path in (path for path in source.rglob("*") if path.is_file()):
        if path.name not in ("config.json", "model.safetensors"):
            assert (out / path.relative_to(source)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("case", "dtype"), [("qwen2", "bf16"), ("gemma3", "fp16")])
def test_sixteen_bits_and_shards_are_those_of_transformers(
    case, dtype, make_decoder, rewritten, monkeypatch, tmp_path
):
    import torch

    from pocketllm.export.results import checkpoint

    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 6000)

    model, out = rewritten(make_decoder(case=case), dtype)

    theirs = loaded(out)
    assert theirs.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    theirs.save_pretrained(tmp_path / "theirs")
    check_scores(model, theirs, 0.05)
    expected, _ = names_and_dtypes(tmp_path / "theirs")
    dtypes, files = names_and_dtypes(out)
    assert dtypes == expected and files > 2
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(expected)


def test_a_tied_head_that_the_source_stored_too_is_left_out(make_decoder, rewritten, tmp_path):
    from safetensors.torch import load_file, save_file

    source = shutil.copytree(make_decoder(case="qwen3"), tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    assert "lm_head.weight" not in tensors
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    before = json.loads((source / "config.json").read_text())

    model, out = rewritten(source)

    check_scores(model, loaded(out))
    dtypes, _ = names_and_dtypes(out)
    assert set(dtypes) == set(tensors) - {"lm_head.weight"}
    assert json.loads((out / "config.json").read_text()) == before


@pytest.mark.parametrize(("case", "tied"), [("llama_wide", False), ("gemma3", True)])
def test_a_config_that_leaves_out_whether_the_head_is_tied_stays_so(
    case, tied, make_decoder, rewritten, tmp_path
):
    source = shutil.copytree(make_decoder(case=case), tmp_path / "source")
    values = json.loads((source / "config.json").read_text())
    values.pop("tie_word_embeddings", None)
    (source / "config.json").write_text(json.dumps(values))

    model, out = rewritten(source)

    assert model.bundle.tied_decoder is tied
    assert json.loads((out / "config.json").read_text()) == values
    check_scores(model, loaded(out))
    assert np.array_equal("lm_head.weight" in names_and_dtypes(out)[0], not tied)
