"""`pocketllm replay` on a full-parameter run: transformers loads what it writes; --undo."""

import json
import shutil

import numpy as np
import pytest
from forward import forward_inputs, model_forward, relative_error
from opt_forward import opt_inputs, score_arrays
from small_runs import adam_config, complaint, pocketllm, rows, run_config, write_tsv
from trajectory import checkpoint_layout

from pocketllm.runtime.contract import LOGITS, LOSS, forward_loss_for
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.run.loop import train

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5
# name: (architecture, changes of the checkpoint)
CASES = {
    "roberta": ("roberta", {}),
    "roberta_untied": ("roberta", {"tied": False, "type_vocab_size": 2}),
    "opt": ("opt", {}),
    "opt_untied": ("opt", {"tied": False, "word_embed_proj_dim": 8}),
}


@pytest.fixture
def trained(make_checkpoint, make_opt_checkpoint, make_bundle, open_ready, tmp_path):
    """Trains a tiny model for 8 steps: (case) -> (model at their end, flags of replay)."""

    def make(case, adam=False, **tuning):
        checkpoint = source_of(case, make_checkpoint, make_opt_checkpoint)
        bundle = make_bundle(checkpoint, lengths=(16,), adam=adam, **tuning)
        model, run = open_ready(bundle, "litert"), tmp_path / "run"
        data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
        if adam:
            train(model, data, run, adam_config(bundle, data, steps=8))
        else:
            decay = {"weight_decay": 0.5, "lr_schedule": "linear"}
            train(model, data, run, run_config(bundle, data, steps=8, **decay))
        return model, [f"--bundle={bundle.folder}", f"--run={run}"]

    return make


def source_of(case, make_checkpoint, make_opt_checkpoint):
    """Returns the checkpoint that a case trains."""
    architecture, changes = CASES[case]
    return {"roberta": make_checkpoint, "opt": make_opt_checkpoint}[architecture](**changes)


def loaded(folder, architecture):
    """Opens a checkpoint in transformers, in float32, and asserts that its names are all right."""
    import torch
    from transformers import OPTForCausalLM, RobertaForMaskedLM

    kind = {"roberta": RobertaForMaskedLM, "opt": OPTForCausalLM}[architecture]
    theirs, loading = kind.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32, output_loading_info=True
    )
    assert not any(loading[key] for key in loading), loading
    return theirs


def tensor_names(folder):
    """Returns the names of the tensors in a checkpoint's only weights file."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "np") as file:
        return set(file.keys())


def compare(theirs, model):
    """Asserts that transformers has the device's losses and logits."""
    bundle, theirs = model.bundle, theirs.double().eval()
    if bundle.architecture == "roberta":
        inputs = forward_inputs(16, bundle.config["vocab_size"], seed=2)
        loss, logits = model_forward(theirs, inputs, bundle.word_ids)
    else:
        inputs = opt_inputs(bundle, 16, seed=3)
        loss, logits, _ = score_arrays(theirs, bundle, inputs)
    actual = model.engine.run(forward_loss_for(16), **inputs)
    assert relative_error(actual[LOSS], loss) <= TOLERANCE
    assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_transformers_loads_the_checkpoint_and_has_the_devices_losses(
    case, trained, make_checkpoint, make_opt_checkpoint, tmp_path
):
    model, flags = trained(case)
    result = tmp_path / "result.json"
    done = pocketllm("replay", *flags, f"--out={tmp_path / 'out'}", f"--json={result}")
    assert (done.returncode, done.stderr) == (0, "") and "at step 8" in done.stdout
    assert "8 steps done again, " in done.stdout
    assert json.loads(result.read_text())["replayed_steps"] == 8

    theirs = loaded(tmp_path / "out", model.bundle.architecture)
    compare(theirs, model)
    for name, values in checkpoint_layout(model.bundle, model).items():
        assert np.array_equal(values, theirs.get_parameter(name).detach().float().numpy()), name
    assert theirs.config.tie_word_embeddings == ("untied" not in case)

    source = source_of(case, make_checkpoint, make_opt_checkpoint)
    theirs.save_pretrained(tmp_path / "theirs")
    assert tensor_names(tmp_path / "out") == tensor_names(tmp_path / "theirs")
    assert tensor_names(tmp_path / "out") == tensor_names(source)
    expected = {path.name for path in source.iterdir()} | {"pocketllm.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()


def test_the_checkpoint_can_be_exported_again(trained, make_bundle, open_ready, tmp_path):
    model, flags = trained("roberta_untied")
    assert pocketllm("replay", *flags, f"--out={tmp_path / 'out'}").returncode == 0

    again = open_ready(make_bundle(tmp_path / "out", lengths=(16,)), "litert")

    assert [v.name for v in again.bundle.variables] == [v.name for v in model.bundle.variables]
    reached = dict(model.read())
    for name, values in again.read():
        assert np.array_equal(values, reached[name]), name


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_halves_are_the_nearest_to_the_values(dtype, trained, tmp_path):
    import torch

    model, flags = trained("roberta")
    done = pocketllm("replay", *flags, f"--out={tmp_path / 'out'}", f"--dtype={dtype}")
    assert done.returncode == 0, done.stderr

    kind = {"fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
    theirs = loaded(tmp_path / "out", "roberta")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == str(kind)[6:]
    for name, values in checkpoint_layout(model.bundle, model).items():
        assert torch.equal(torch.tensor(values).to(kind).float(), theirs.get_parameter(name)), name


def test_a_value_too_large_for_the_dtype_is_named(trained, tmp_path):
    from pocketllm.export.results.checkpoint import write_checkpoint
    from pocketllm.export.results.origin import origin_of
    from pocketllm.runtime.errors import InputError

    model, _ = trained("roberta")
    origin = origin_of(model.bundle, tmp_path / "run", 8)
    values = dict(model.read())
    values["lm_head.bias"][3] = 1e5
    model.write(values)

    with pytest.raises(InputError, match="lm_head.bias: holds 100000, .*--dtype=fp32"):
        write_checkpoint(tmp_path, model, "fp16", origin)


def test_a_large_checkpoint_is_written_in_shards(trained, monkeypatch, tmp_path):
    from pocketllm.export.results import checkpoint
    from pocketllm.export.results.origin import origin_of

    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 10_000)
    model, _ = trained("opt_untied")
    origin = origin_of(model.bundle, tmp_path / "run", 8)
    checkpoint.write_checkpoint(tmp_path / "out", model, "fp32", origin)

    names = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert len(names) > 3 and names[0] == f"model-00001-of-{len(names):05d}.safetensors"
    assert all(checkpoint.is_checkpoint_file(p.name) for p in (tmp_path / "out").iterdir())
    compare(loaded(tmp_path / "out", "opt"), model)


def test_undone_steps_lead_back_to_the_start_within_rounding(trained, tmp_path):
    _, flags = trained("roberta")

    done = pocketllm("replay", *flags, "--undo", f"--json={tmp_path / 'result.json'}")

    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    undone = json.loads((tmp_path / "result.json").read_text())["undo"]
    print(done.stdout)
    assert undone["moved"] > 0.05
    assert 0 < undone["left"] <= 1e-6 * undone["largest_value"]  # float32, 8 steps of 7 passes


def test_a_run_of_adam_becomes_a_checkpoint_and_cannot_be_undone(trained, tmp_path):
    model, flags = trained("roberta", adam=True)
    out = f"--out={tmp_path / 'out'}"

    complaint(pocketllm("replay", *flags, out, "--undo"), 2, "--undo needs a run whose journal")
    assert pocketllm("replay", *flags, out).returncode == 0
    compare(loaded(tmp_path / "out", "roberta"), model)


def test_the_checkpoint_that_a_bundle_began_from_is_not_replaced(
    trained, make_checkpoint, tmp_path
):
    _, flags = trained("roberta")
    source = shutil.copytree(make_checkpoint(), tmp_path / "source")
    before = {path.name: path.read_bytes() for path in source.iterdir()}

    complaint(
        pocketllm("replay", *flags, f"--out={source}", "--force"), 2, "`replay` did not write it"
    )

    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    out = [f"--out={tmp_path / 'out'}", "--force"]
    for _ in range(2):  # its own it does replace
        assert pocketllm("replay", *flags, *out).returncode == 0
    complaint(pocketllm("replay", *flags, *out, "--base_model=x"), 2, "is of adapters")


def test_what_cannot_be_written_is_said(trained, tmp_path):
    _, flags = trained("roberta", kind="head")
    out = tmp_path / "out"

    complaint(pocketllm("replay", *flags, f"--out={out}"), 2, "--tune=head", "as a checkpoint")
    complaint(pocketllm("replay", *flags), 2, "--out is missing")
    assert pocketllm("replay", *flags, "--undo").returncode == 0
    assert not out.exists()
