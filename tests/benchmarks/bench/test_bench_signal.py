"""The bench's --signal: what it correlates, and that the runtime's default eps follow from it."""

import json

import numpy as np
import pytest
from small_runs import complaint, pocketllm, rows, write_tsv

from pocketllm.benchmarks.bench.signal import EPS, LEAST_CORRELATION, signal_of, signal_table
from pocketllm.export.tune.probe_size import DEFAULT_EPS
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.host.files import sha256_of


def test_the_correlation_of_each_eps_is_taken_by_itself():
    reference = [[1.0, 2.0, 3.0]] * len(EPS)
    doubled = [2.0, 4.0, 6.0]
    measured = [[2.0, 2.0, 2.0], [3.0, 2.0, 1.0], doubled, doubled, [5.0, 6.0, 7.5]]

    signal = signal_of(reference, measured)

    assert [row["eps"] for row in signal["eps"]] == list(EPS)
    # By hand: the last is 2.5 / sqrt(2 * 19/6).
    expected = [-1, 1, 1, 2.5 / (2 * 19 / 6) ** 0.5]
    assert signal["eps"][0]["correlation"] is None, "a loss that never moves has none"
    assert [row["correlation"] for row in signal["eps"][1:]] == pytest.approx(expected)
    assert [row["fp32_stdev"] for row in signal["eps"]] == [1.0] * len(EPS)
    assert [row["stdev"] for row in signal["eps"][:3]] == [0.0, 1.0, 2.0]
    assert signal["least_eps"] == EPS[2]
    assert signal_of(reference, measured[:2] * 2 + measured[:1])["least_eps"] is None


def test_the_table_marks_the_eps_that_the_runtime_takes():
    signal = signal_of([[1.0, 2.0, 3.0]] * 5, [[1.0, 1.0, 1.0]] + [[1.0, 2.0, 2.0]] * 4)
    lines = signal_table(signal | {"tune": "lora", "base": "int8", "default_eps": 1e-2})

    lines = lines.splitlines()
    assert len(lines) == 1 + len(EPS) and "stdev, int8" in lines[0]
    assert [line.split()[0] for line in lines if "(default)" in line] == ["0.01"]
    assert lines[1].split()[1:] == ["-", "1.000", "0.000"] and "0.8660" in lines[2]


@pytest.mark.desktop
@pytest.mark.parametrize("tune", ["lora", "prefix"])
def test_the_command_correlates_a_checkpoints_two_bases(
    tune, make_checkpoint, make_bundle, open_ready, tmp_path
):
    checkpoint, out = make_checkpoint(), tmp_path / "signal.json"
    path, directions = write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), 5
    flags = [f"--model={checkpoint}", f"--tune={tune}", "--base=int8", f"--data={path}"]

    done = pocketllm(
        "bench", "--signal", *flags, f"--directions={directions}", f"--json={out}", timeout=600
    )

    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert (result["directions"], result["random_weights"]) == (directions, False)
    assert result["data_sha256"] == sha256_of(path)
    (signal,) = result["signals"]
    assert (signal["tune"], signal["base"], signal["rows"]) == (tune, "int8", 20)
    assert signal["default_eps"] == DEFAULT_EPS[tune, "int8"]

    eps, measured = 0.1, {}
    for base in ("fp32", "int8"):
        model = open_ready(make_bundle(checkpoint, kind=tune, base=base, lengths=(36,)), "litert")
        batches = batches_of(load_dataset(path, model.bundle), model.bundle, range(20))
        measured[base] = []
        for seed in range(directions):
            model.perturb(seed, eps)
            plus = model.loss(batches)
            model.perturb(seed, -2 * eps)
            measured[base].append((plus - model.loss(batches)) / (2 * eps))
            model.perturb(seed, eps)
    expected = np.corrcoef(measured["fp32"], measured["int8"])[0, 1]
    row = signal["eps"][EPS.index(eps)]
    assert row["correlation"] == pytest.approx(expected, abs=1e-3)
    assert row["fp32_stdev"] == pytest.approx(np.std(measured["fp32"], ddof=1), rel=1e-3)
    assert f"{row['correlation']:.4f}" in done.stdout


@pytest.mark.desktop
@pytest.mark.slow
def test_the_default_eps_are_those_that_the_signal_chooses(tmp_path):
    out = tmp_path / "signal.json"
    done = pocketllm("bench", "--signal", f"--json={out}", timeout=1200)
    assert done.returncode == 0, done.stderr
    print(done.stdout)

    signals = json.loads(out.read_text())["signals"]
    assert {(signal["tune"], signal["base"]) for signal in signals} == {
        pair for pair in DEFAULT_EPS if pair[1] != "fp32"
    }
    for signal in signals:
        (at_default,) = (r for r in signal["eps"] if r["eps"] == signal["default_eps"])
        assert at_default["correlation"] >= LEAST_CORRELATION, signal["tune"]
        # Larger models need more of LoRA's (docs/measurements.md), and the head's 1e-3 is MeZO's.
        assert signal["least_eps"] <= signal["default_eps"]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--signal", "--steps=3"], "--steps is no part of --signal"),
        (["--signal", "--bundle=nowhere"], "--bundle is no part of --signal"),
        (["--signal", "--base=fp32"], "--signal compares a quantised base with fp32"),
        (["--signal", "--tune=full"], "--signal compares a quantised base with fp32"),
        (["--signal", "--engine=tflite"], "--engine=tflite: only litert runs a quantised base"),
        (["--model=roberta-micro", "--directions=9"], "--directions goes with --signal"),
        (["--model=roberta-micro", "--data=x.tsv"], "--data goes with --signal"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags, problem):
    complaint(pocketllm("bench", *flags), 2, problem)


def test_a_data_file_that_is_missing_is_named():
    complaint(pocketllm("bench", "--signal", "--data=no.tsv"), 2, "--data=no.tsv: no such file")
