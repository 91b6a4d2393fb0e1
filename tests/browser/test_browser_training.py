"""Runs of examples/browser in Node: losses beside Python's, its files, replay bit for bit."""

import base64
import json
import math
import re
import shutil
import signal
import subprocess
from pathlib import Path

import litert_js
import numpy as np
import pytest
from native_program import encode, flags_of
from small_runs import mezo_steps, pocketllm, state_of

from pocketllm.runtime.bundle.checksum import write_with_checksum
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.data.order import step_members, step_seed
from pocketllm.runtime.journal.lines import read_evaluations
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.run.replay import replay

RUN = {"steps": 6, "batch_size": 7, "seed": 5, "lr": 1e-2, "eval_every": 4}
# Losses at the same parameters, beside Python's on x86-64, relative. On fp32 the order of sums
# differs (1.5e-7 measured), on int8 kernels round activations to other integers, as ARM's (1.5e-3).
TOLERANCE = {"fp32": 1e-6, "int8": 5e-3}


def flags(folder, run, **changes):
    """Returns the flags of a run of a folder's bundle on its rows."""
    common = {"bundle": folder / "bundle", "run": run, "dev": folder / "dev.rows", **RUN}
    return flags_of(**common | {"encoded": folder / "train.rows"} | changes)


def pythons(folder, run, **changes):
    """Runs `pocketllm train` with the flags of the same run."""
    files = {"train": folder / "train.tsv", "dev": folder / "dev.tsv", "threads": 1}
    common = {"bundle": folder / "bundle", "run": run, **RUN, **files, **changes}
    done = pocketllm("train", *flags_of(**common), timeout=600)
    assert done.returncode == 0, done.stderr


def trained(folder, tmp_path):
    """Trains in Node into tmp_path/run; returns the parameters that WebAssembly holds behind it."""
    values = litert_js.probe(tmp_path, "train", flags=flags(folder, tmp_path / "run"))
    return {name: base64.b64decode(text) for name, text in values.items()}


def check_run(folder, base, tmp_path, open_ready):
    """Asserts what holds of any run; returns its largest difference of a loss, relative."""
    bundle = read_bundle(folder / "bundle")
    parameters = trained(folder, tmp_path)
    pythons(folder, tmp_path / "python")
    ours, theirs = (read_journal(tmp_path / name / "journal") for name in ("run", "python"))

    # The files are Python's, but for what was measured.
    assert ours.header == theirs.header
    for name in ("config.json", "journal"):
        ours_bytes, theirs_bytes = ((tmp_path / r / name).read_bytes() for r in ("run", "python"))
        size = len(ours_bytes) if name == "config.json" else ours.ends[0]
        assert len(ours_bytes) == len(theirs_bytes) and ours_bytes[:size] == theirs_bytes[:size]
    assert [s.passes[0] for s in ours.steps] == [s.passes[0] for s in theirs.steps]
    assert [e.step for e in read_evaluations(tmp_path / "run")] == [0, 4, 6]

    # The losses are those of the same examples at the same parameters.
    model, data = open_ready(bundle, "litert"), load_dataset(folder / "train.tsv", bundle)
    differences = []
    for step in ours.steps:
        seed = step_seed(RUN["seed"], step.step)
        members = step_members(len(data.examples), RUN["batch_size"], RUN["seed"], step.step)
        batches = batches_of(data, bundle, members)
        for loss, (pass_seed, scale) in zip(step.losses, step.passes):
            assert pass_seed == seed
            model.perturb(pass_seed, scale)
            differences.append(abs(model.loss(batches) / loss - 1))
        model.perturb(*step.passes[-1])
    assert max(differences) <= TOLERANCE[base] and len(differences) == 2 * RUN["steps"]

    # Where they led is the same bits.
    assert state_of(model) == parameters
    model = open_ready(bundle, "litert")
    replay(model, ours.steps)
    assert state_of(model) == parameters
    print(f"{base}: losses within {max(differences):.1e}")


def test_a_run_of_the_committed_bundle(small, open_ready, tmp_path):
    check_run(small, "fp32", tmp_path, open_ready)

    steps = mezo_steps(tmp_path / "run")
    journal = read_journal(tmp_path / "run" / "journal").steps
    assert [(s.loss_plus, s.loss_minus) for s in steps] == [s.losses for s in journal]
    for step in steps:
        slope = (step.loss_plus - step.loss_minus) / (2 * 1e-3)
        assert step.projected_grad == slope


@pytest.mark.desktop
@pytest.mark.parametrize("base", ["fp32", "int8"])
def test_a_run_of_roberta_micro_with_lora(base, micro, open_ready, tmp_path):
    from safetensors.numpy import load_file

    folder = micro(base)
    check_run(folder, base, tmp_path, open_ready)

    common = flags_of(bundle=folder / "bundle", run=tmp_path / "run")
    done = pocketllm("replay", *common, f"--out={tmp_path / 'adapter'}", timeout=600)
    assert done.returncode == 0, done.stderr
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert tensors and all(np.isfinite(values).all() for values in tensors.values())


def test_losses_of_a_whole_run_stay_beside_pythons(small, tmp_path):
    """Parameters drift apart as losses do: this is a run of both, each on its own path."""
    trained(small, tmp_path)
    pythons(small, tmp_path / "python")
    ours, theirs = (mezo_steps(tmp_path / name) for name in ("run", "python"))

    for name in ("loss_plus", "loss_minus"):
        losses = [[getattr(step, name) for step in steps] for steps in (ours, theirs)]
        np.testing.assert_allclose(*losses, rtol=2e-5)
    assert [step.seed for step in ours] == [step.seed for step in theirs]


def test_the_runtime_goes_on_with_a_run_and_evaluates_it(small, tmp_path):
    trained(small, tmp_path)
    run = tmp_path / "run"
    began = (run / "journal").read_bytes()

    pythons(small, run, steps=9)

    assert (run / "journal").read_bytes().startswith(began)
    assert len(read_journal(run / "journal").steps) == 9
    assert [e.step for e in read_evaluations(run)] == [0, 4, 6, 8, 9]
    common = flags_of(bundle=small / "bundle", run=run, data=small / "dev.tsv", at_step=6)
    done = pocketllm("eval", *common)
    assert done.returncode == 0, done.stderr
    recorded = read_evaluations(run)[2]
    accuracy, loss = map(float, re.findall(r"accuracy ([\d.]+), loss ([\d.]+)", done.stdout)[0])
    assert accuracy == round(recorded.accuracy, 4) and math.isclose(
        loss, recorded.loss, abs_tol=1e-4
    )


@pytest.mark.desktop
def test_a_run_is_reported(small, tmp_path):
    trained(small, tmp_path)

    done = pocketllm("report", tmp_path / "run", f"--out={tmp_path / 'report'}")

    assert done.returncode == 0, done.stderr
    assert "run: mezo, 6 steps" in done.stdout


def test_a_run_is_the_same_bytes_each_time(small, tmp_path):
    for name in ("a", "b"):
        done = litert_js.train(*flags(small, tmp_path / name))
        assert done.returncode == 0, done.stderr

    for name in ("journal", "config.json", "evaluations.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_bundle_that_was_opened_holds_its_initial_values(small, open_ready, tmp_path):
    values = litert_js.probe(tmp_path, "open", bundle=small / "bundle")

    model = open_ready(read_bundle(small / "bundle"), "litert")
    assert {name: base64.b64decode(text) for name, text in values.items()} == state_of(model)


def test_noise_that_is_not_the_formats_is_refused(small, tmp_path):
    folder = shutil.copytree(small, tmp_path / "copy")
    path = folder / "bundle" / "bundle.json"
    values = json.loads(path.read_text())
    variable = values["parameters"][-1]["variables"][-1]
    variable["stream"] += 1
    write_with_checksum(path, values)
    encode(folder / "bundle", folder / "train.tsv", folder / "train.rows", "--force")

    done = litert_js.train(*flags(folder, tmp_path / "run", dev=""))

    name = variable["name"]
    assert done.returncode == 1 and f"{name}: this LiteRT.js computes another noise" in done.stderr
    assert not (tmp_path / "run").exists()


def test_parameters_are_put_back_where_a_loss_is_not_finite(small, open_ready, tmp_path):
    seed, eps = step_seed(5, 1), 1e-2
    model = open_ready(read_bundle(small / "bundle"), "litert")
    before = state_of(model)
    for scale in (eps, -2 * eps, eps):
        model.perturb(seed, scale)

    step = {"number": 1, "seed": seed, "lr": 1e-3, "eps": eps}
    answer = litert_js.probe(tmp_path, "lose", bundle=small / "bundle", step=step)

    assert answer["error"].startswith("step 1: the loss is not finite (loss_plus NaN")
    after = {name: base64.b64decode(text) for name, text in answer["parameters"].items()}
    assert after == state_of(model)
    for name, data in before.items():
        values = [np.frombuffer(state, "<f4") for state in (data, after[name])]
        np.testing.assert_allclose(*values, rtol=0, atol=1e-6)


def test_a_step_that_ruined_the_parameters_is_taken_back(small, tmp_path):
    done = litert_js.train(*flags(small, tmp_path / "run", lr=1e25, dev=""))

    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "step 2: the loss is not finite" in done.stderr and "step 1: loss" in done.stdout
    assert not (tmp_path / "run").exists()  # no step is left


def test_a_signal_ends_a_run_behind_a_step(small, tmp_path):
    arguments = flags(small, tmp_path / "run", steps=10**6, dev="")
    process = subprocess.Popen(
        ["node", litert_js.EXAMPLE / "train.js", *arguments, f"--litert={litert_js.needed()}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith("step 1: ")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)

    count = len(read_journal(tmp_path / "run" / "journal").steps)
    assert process.returncode == 0 and 1 <= count < 10**6
    pythons(small, tmp_path / "run", steps=count + 1, dev="", eval_every=0)


def test_a_causal_bundle_trains_too(tmp_path):
    vectors = Path(__file__).parents[1] / "conformance"
    shutil.copytree(vectors / "causal", tmp_path / "bundle")
    for name in ("train", "dev"):
        shutil.copy(vectors / "causal.rows", tmp_path / f"{name}.rows")
    trained(tmp_path, tmp_path)
    data = dict.fromkeys(("train", "dev"), vectors / "rows-causal.jsonl")
    common = {**RUN, "bundle": tmp_path / "bundle", "run": tmp_path / "python", **data}
    assert pocketllm("train", *flags_of(**common)).returncode == 0

    ours, theirs = (mezo_steps(tmp_path / name) for name in ("run", "python"))
    for name in ("loss_plus", "loss_minus"):
        losses = [[getattr(step, name) for step in steps] for steps in (ours, theirs)]
        np.testing.assert_allclose(*losses, rtol=2e-5)
    for ours, theirs in zip(
        *(read_evaluations(tmp_path / n) for n in ("run", "python")), strict=True
    ):
        assert ours.accuracy == theirs.accuracy and math.isclose(
            ours.loss, theirs.loss, rel_tol=2e-5
        )
