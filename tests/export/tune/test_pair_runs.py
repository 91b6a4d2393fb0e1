"""Runs whose probes are evaluated together: as PyTorch's, done again, stopped and killed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from small_runs import (
    Stop,
    complaint,
    mezo_steps,
    pocketllm,
    rows,
    run_config,
    state_of,
    stop_after,
    write_tsv,
    zeroth_order_config,
)
from trajectory import check, compare
from tuned import lora_bundle

from pocketllm.benchmarks.torture.kills import kill_and_resume, training
from pocketllm.runtime.bundle.checks import check_bundle
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.optim.applied import apply_step, undo_step
from pocketllm.runtime.run.listening import SILENT
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.replay import FEW_STEPS, replay

pytestmark = pytest.mark.desktop

KILLS = 10
KINDS = ("mezo", "normalized", "fzoo-two-sides")


@pytest.fixture(scope="module")
def bundle(make_checkpoint, make_bundle):
    """LoRA on a tiny RoBERTa in float32, which either engine runs."""
    return lora_bundle(make_bundle, make_checkpoint(), {"rank": 4}, pairs=True)


@pytest.fixture
def train_file(tmp_path):
    """20 examples."""
    return write_tsv(tmp_path / "train.tsv", rows(20, seed=3))


@pytest.fixture
def trained(bundle, train_file, open_ready, tmp_path):
    """Trains in a fresh engine: (run's name, kind, listener, flags of `train`) -> the bits of θ."""
    data = load_dataset(train_file, bundle)

    def run(name, kind, listener=SILENT, **flags):
        model = open_ready(bundle, "litert")
        changes = {"lr": 1e-3, "steps": FEW_STEPS + 5, "weight_decay": 0.2}
        config = zeroth_order_config(kind, bundle, data, **changes)
        train(model, data, tmp_path / name, config, listener=listener, **flags)
        return state_of(model)

    return run


def steps_of(folder):
    return read_journal(folder / JOURNAL).steps


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
def test_fifty_steps_follow_pytorch(
    weight_decay, engine, bundle, make_checkpoint, train_file, open_ready, tmp_path
):
    data = load_dataset(train_file, bundle)
    hyper = {"lr": 1e-3, "eps": 1e-2, "batch_size": 7, "seed": 3, "weight_decay": weight_decay}
    config = run_config(bundle, data, steps=50, **hyper)
    model = open_ready(bundle, engine)

    check(compare(bundle, make_checkpoint(), data, config, model=model, folder=tmp_path / "run"))

    assert {len(step.passes) for step in steps_of(tmp_path / "run")} == {1}


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_done_again_by_graph_tiles_and_the_other_engine_and_taken_back(
    kind, trained, bundle, engine, open_ready, tmp_path
):
    expected = trained("run", kind)
    steps = steps_of(tmp_path / "run")
    graph, tiles = (open_ready(bundle, engine) for _ in range(2))
    begun = dict(tiles.read())

    for step in steps:
        apply_step(graph, step)
    replay(tiles, steps)

    assert state_of(graph) == state_of(tiles) == expected
    directions = 3 if kind == "fzoo-two-sides" else 1
    assert {(len(s.losses), len(s.passes)) for s in steps} == {(2 * directions, directions)}
    assert any(step.decay for step in steps)
    moved = max(abs(values - begun[name]).max() for name, values in tiles.read())
    replay(tiles, steps[::-1], take=undo_step)
    left = max(abs(values - begun[name]).max() for name, values in tiles.read())
    assert moved > 1e-3 and left < 1e-4 * moved


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_stops_goes_on_as_if_never_stopped(kind, trained, tmp_path):
    whole = trained("whole", kind)
    with pytest.raises(Stop):
        trained("run", kind, stop_after(3))

    assert trained("run", kind) == whole
    for name in (JOURNAL, "config.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_its_losses_are_those_of_steps_with_two_forwards(kind, trained, tmp_path):
    together, apart = trained("run", kind), trained("two", kind, pairs=False)

    pairs, twos = steps_of(tmp_path / "run"), steps_of(tmp_path / "two")
    np.testing.assert_allclose(pairs[0].losses, twos[0].losses, rtol=1e-6)
    ends = [step.losses for step in (pairs[-1], twos[-1])]
    np.testing.assert_allclose(*ends, rtol=1e-4)
    assert abs(np.array(ends[0]) / pairs[0].losses - 1).max() > 1e-3, "the parameters have moved"
    assert len(twos[0].passes) > 3 * len(pairs[0].passes) - 1
    assert together != apart, "the last bits differ: θ was never moved to the probes"


def test_killed_in_each_phase_and_resumed_a_run_ends_as_if_never_touched(
    bundle, train_file, tmp_path
):
    dev = write_tsv(tmp_path / "dev.tsv", rows(17, seed=2))
    command = training(bundle.folder, train_file, dev, 40, recovery_seconds=1e9, pairs=True)

    done = kill_and_resume(command, tmp_path, KILLS, seed=0, snapshot_steps=10)

    assert done.count == KILLS and max(done.tails) > 5, "there are steps to replay"
    assert {len(step.passes) for step in steps_of(tmp_path / "whole")} == {1}


def test_the_command_line_takes_pairs_unless_told_not_to(bundle, train_file, tmp_path):
    common = [f"--bundle={bundle.folder}", f"--train={train_file}", "--steps=3", "--lr=1e-2"]
    results = {}
    for name, flags in {"run": [], "two": ["--nopairs"]}.items():
        report = tmp_path / f"{name}.json"
        done = pocketllm("train", *common, f"--run={tmp_path / name}", f"--json={report}", *flags)
        assert done.returncode == 0, done.stderr
        results[name] = json.loads(report.read_text())

    assert [results[name]["pairs"] for name in ("run", "two")] == [True, False]
    passes = [len(steps_of(tmp_path / name)[0].passes) for name in ("run", "two")]
    assert passes == [1, 3]
    first = [mezo_steps(tmp_path / name)[0] for name in ("run", "two")]
    assert first[0].loss_minus == pytest.approx(first[1].loss_minus, rel=1e-6)

    out = tmp_path / "adapter"
    run = f"--run={tmp_path / 'run'}"
    done = pocketllm("replay", f"--bundle={bundle.folder}", run, f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert (out / "adapter_model.safetensors").exists()


@pytest.mark.parametrize(
    ("flags", "texts"),
    [
        (["--optimizer=fzoo", "--sides=1"], ["--pairs goes with --optimizer=mezo"]),
        (["--optimizer=mezo"], ["no signature forward_pair, which --pairs needs", "--tune=lora"]),
    ],
)
def test_pairs_that_cannot_be_had_are_refused_in_one_line(
    flags, texts, bundle, golden_bundle, train_file, tmp_path
):
    folder = bundle.folder if "--sides=1" in flags else golden_bundle.folder
    done = pocketllm(
        "train", f"--bundle={folder}", f"--train={train_file}", f"--run={tmp_path / 'run'}",
        "--steps=1", "--lr=1e-3", "--pairs", *flags,
    )  # fmt: skip

    complaint(done, 2, *texts)
    assert not (tmp_path / "run").exists()


def test_a_bundle_with_pairs_in_some_buckets_alone_is_refused(bundle):
    check_bundle(bundle)
    name = f"forward_pair_{bundle.lengths[0]}"
    fewer = {key: value for key, value in bundle.signatures.items() if key != name}
    with pytest.raises(KeyError, match=name):
        check_bundle(replace(bundle, signatures=fewer))
    wrong = bundle.signatures | {name: bundle.signatures[f"forward_loss_{bundle.lengths[0]}"]}
    with pytest.raises(ValueError, match=rf"signature '{name}' does not take a batch and a probe"):
        check_bundle(replace(bundle, signatures=wrong))
