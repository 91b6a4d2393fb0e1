"""The bench's baselines in PyTorch: weights and losses as ours, MeZO's steps, the table of both."""

import json

import numpy as np
import pytest
from small_runs import pocketllm

from pocketllm.benchmarks.bench.summary import FIGURES, ratios
from pocketllm.benchmarks.bench.table import ROWS
from pocketllm.benchmarks.bench.workload import Workload, random_rows
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.batches import micro_batches

pytestmark = pytest.mark.desktop
# OPT as published, and with embeddings of another width and a head of its own.
OPT_CASES = {
    "plain": {},
    "projected": {"word_embed_proj_dim": 8, "do_layer_norm_before": False},
    "untied": {"tied": False, "word_embed_proj_dim": 24},
}
WORK = Workload("bundle", "litert", 1, 64, seq_len=8, steps=2, seed=3, second_len=16)
SECONDS = 600  # for a command, on a busy machine


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """roberta-micro with random weights, exported."""
    out = tmp_path_factory.mktemp("bench") / "bundle"
    flags = "--model=roberta-micro --random_init --seed=5 --task=sst2 --lengths=8,16 --batch_size=2"
    done = pocketllm("export", *flags.split(), f"--out={out}", timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return out


def assert_same_losses(ours, theirs):
    """The two probe in directions of their own, which cancel in the mean of both losses.

    What is left is their curvature, and the first steps of a tiny learning rate: 6e-4 measured.
    """
    for a, b in zip(ours, theirs, strict=True):
        middle = [(step["loss_plus"] + step["loss_minus"]) / 2 for step in (a, b)]
        assert middle[0] == pytest.approx(middle[1], abs=2e-3)


def test_bench_against_pytorch_writes_a_table_and_json(bundle, tmp_path):
    out = tmp_path / "bench.json"
    done = pocketllm(
        "bench",
        f"--bundle={bundle}",
        "--model=roberta-micro",
        "--batch_sizes=3",
        "--seq_len=16",
        "--steps=2",
        "--threads=1",
        "--against=pytorch",
        f"--json={out}",
        timeout=SECONDS,
    )

    assert done.returncode == 0, done.stderr
    # Slow machines show progress there; nothing native may.
    assert all(line.startswith(("sgemm: ", "batch 3: ")) for line in done.stderr.splitlines())
    shown = {figure for figure in ROWS if ROWS[figure][0] in done.stdout}
    assert shown == set(ROWS) - {"direction_seconds"}, "a step of MeZO has one direction"
    result = json.loads(out.read_text())
    assert (result["model"], result["threads"], result["export"]) == ("roberta-micro", 1, None)
    assert result["sgemm"]["gflops"] > 0
    (batch,) = result["batches"]
    assert (batch["pytorch_row"], batch["ratio_row"]) == (None, None)
    ours, theirs = batch["ours"], batch["pytorch"]
    assert ours["first_loss"] == pytest.approx(theirs["first_loss"], rel=1e-5)
    assert batch["first_loss_difference"] < 1e-5
    assert (ours["buckets"], ours["micro_batches"]) == ([8, 16], 2)
    for side, passes in ((ours, 3), (theirs, 4)):
        assert [step["step"] for step in side["steps"]] == [2, 3]
        for step in side["steps"]:
            assert len(step["noise_seconds"]) == passes and len(step["forward_seconds"]) == 2
        assert 0 < side["peak_anon_bytes"] < side["peak_rss_bytes"]
        assert set(side["summary"]) == set(FIGURES)
    assert_same_losses(ours["steps"], theirs["steps"])


def test_bench_measures_opt_against_pytorch_twice(make_opt_checkpoint, make_bundle, tmp_path):
    bundle, out = make_bundle(make_opt_checkpoint()), tmp_path / "bench.json"
    flags = "--batch_sizes=4 --seq_len=16 --steps=2 --threads=1 --against=pytorch"

    done = pocketllm(
        "bench", f"--bundle={bundle.folder}", *flags.split(), f"--json={out}", timeout=SECONDS
    )

    assert done.returncode == 0, done.stderr
    assert "losses at +eps / -eps, PyTorch, row: " in done.stdout
    (batch,) = json.loads(out.read_text())["batches"]
    ours = batch["ours"]
    assert (ours["buckets"], ours["micro_batches"]) == ([8, 16], 2)
    for suffix in ("", "_row"):
        theirs = batch[f"pytorch{suffix}"]
        assert ours["first_loss"] == pytest.approx(theirs["first_loss"], rel=1e-5)
        assert batch[f"first_loss_difference{suffix}"] < 1e-5
        assert batch[f"ratio{suffix}"] == ratios(ours["summary"], theirs["summary"])
        assert [len(step["noise_seconds"]) for step in theirs["steps"]] == [4, 4]
        assert 0 < theirs["peak_anon_bytes"] < theirs["peak_rss_bytes"]
    # The same weights, inputs and directions: the two sides of PyTorch take the same steps.
    for every_token, row in zip(batch["pytorch"]["steps"], batch["pytorch_row"]["steps"]):
        assert every_token["loss_plus"] == pytest.approx(row["loss_plus"], rel=1e-5)
    assert_same_losses(ours["steps"], theirs["steps"])


def test_the_pytorch_side_starts_from_the_bundles_weights(bundle):
    from pocketllm.benchmarks.bench.pytorch.model import load_model
    from pocketllm.export.models import model_config
    from pocketllm.export.weights.weights import random_weights

    described = read_bundle(bundle)
    weights = random_weights(model_config(described.config, "bundle"), seed=5)
    state = load_model(described).state_dict()

    for parameter in weights.parameters:
        np.testing.assert_array_equal(state[parameter.name].numpy(), weights.read(parameter))


@pytest.mark.parametrize("case", OPT_CASES)
def test_both_sides_of_pytorch_give_our_first_loss_of_opt(
    case, make_opt_checkpoint, make_bundle, open_ready
):
    from transformers import OPTForCausalLM

    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, word_loss

    checkpoint = make_opt_checkpoint(**OPT_CASES[case])
    bundle = make_bundle(checkpoint)
    rows = random_rows(WORK, bundle, step=0, tokens=8)
    model = load_model(bundle)
    loaded = OPTForCausalLM.from_pretrained(checkpoint).state_dict()
    assert model.config.tie_word_embeddings == bundle.tied_decoder == (case != "untied")

    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values.numpy(), loaded[name].numpy())
    batches = micro_batches(rows, bundle.batch_size, bundle.lengths, pad_id=1)
    ours = open_ready(bundle, "litert").loss(batches)
    for full_head in (False, True):
        batch = one_batch(rows, tokens=8, pad_id=1)
        theirs = word_loss(model, batch, bundle.word_ids, full_head).item()
        assert theirs == pytest.approx(ours, rel=1e-5) and theirs > 0.5


@pytest.mark.parametrize("full_head", [False, True])
def test_the_lm_head_runs_on_the_scored_rows_or_on_every_token(
    full_head, make_opt_checkpoint, make_bundle
):
    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, word_loss

    bundle = make_bundle(make_opt_checkpoint())
    model, seen = load_model(bundle), []
    model.lm_head.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))

    batch = one_batch(random_rows(WORK, bundle, 0, tokens=8), tokens=8, pad_id=1)
    word_loss(model, batch, bundle.word_ids, full_head)

    vocab_size = bundle.config["vocab_size"]
    assert seen == [(64, 8, vocab_size) if full_head else (64, vocab_size)]


def test_a_pytorch_step_moves_every_parameter_by_minus_lr_times_g_times_z(bundle):
    import torch

    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, word_loss
    from pocketllm.benchmarks.bench.workers.pytorch import forward_only, mezo_step

    described = read_bundle(bundle)
    model = load_model(described)
    parameters = list(model.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    batch = one_batch(random_rows(WORK, described, step=1, tokens=8), tokens=8, pad_id=1)
    loss = forward_only(lambda: word_loss(model, batch, described.word_ids, full_head=False))
    seed, lr, eps = 7, 1e-2, 1e-3

    record = mezo_step(parameters, loss, seed=seed, lr=lr, eps=eps, step=1)

    slope = (record["loss_plus"] - record["loss_minus"]) / (2 * eps)
    assert abs(slope) > 1e-3
    torch.manual_seed(seed)
    for parameter, start in zip(parameters, before):
        z = torch.normal(mean=0.0, std=1.0, size=start.size())
        np.testing.assert_allclose(parameter.detach(), start - lr * slope * z, rtol=0, atol=1e-6)
