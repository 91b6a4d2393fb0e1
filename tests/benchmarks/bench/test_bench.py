"""The bench: what it counts, its tables and its flags. Times are never asserted."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from small_runs import pocketllm

from pocketllm.benchmarks.bench import comparison
from pocketllm.benchmarks.bench.summary import FIGURES, ratios, summarise
from pocketllm.benchmarks.bench.table import ROWS, batch_table
from pocketllm.benchmarks.bench.workload import Workload, random_rows, second_length
from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError, RunError

CONFIG = {"vocab_size": 10, "pad_token_id": 1}
WORK = Workload("bundle", "litert", 1, 64, seq_len=8, steps=2, seed=3, second_len=16)
SECONDS = 600  # for a command, on a busy machine


@pytest.mark.parametrize(
    ("lengths", "seq_len", "expected"),
    [
        ((32, 64, 128), 64, 32),
        ((32, 64, 128), 100, 64),
        ((32, 64, 128), 32, 64),
        ((64,), 64, None),
    ],
)
def test_the_second_bucket_is_the_next_smaller_one_if_there_is_one(lengths, seq_len, expected):
    assert second_length(lengths, seq_len) == expected


def test_only_the_steps_between_warm_up_and_second_bucket_are_timed():
    assert WORK.schedule == [(1, 8, False), (2, 8, True), (3, 8, True), (4, 16, False)]


@pytest.mark.parametrize("style", contract.STYLES)
def test_all_sides_draw_the_same_full_rows_and_never_the_padding(style, golden_bundle):
    bundle = replace(golden_bundle, style=style, config=CONFIG)
    assert bundle.special_tokens.pad == CONFIG["pad_token_id"]
    rows = random_rows(WORK, bundle, step=1, tokens=8)
    again = random_rows(WORK, bundle, step=1, tokens=8)
    sequences = [sequence for row in rows for sequence in row.sequences]
    ids = np.stack([sequence.input_ids for sequence in sequences])

    assert ids.shape == (64, 8) and ids.dtype == np.int32
    assert set(ids.flat) == set(range(10)) - {CONFIG["pad_token_id"]}
    if style == contract.MASKED:
        assert all(0 < sequence.target["mask_position"] < 7 for sequence in sequences)
    else:
        assert all(sequence.target == {"last_position": 7} for sequence in sequences)
    assert {row.label for row in rows} == {0, 1} and {row.weight for row in rows} == {1.0}
    assert [row.label for row in rows] == [row.label for row in again]
    np.testing.assert_array_equal(ids, [row.sequences[0].input_ids for row in again])
    other = random_rows(WORK, bundle, step=2, tokens=8)
    assert not np.array_equal(ids, [row.sequences[0].input_ids for row in other])


def test_a_task_of_whole_options_is_refused(golden_bundle):
    bundle = replace(golden_bundle, scoring="gold")

    with pytest.raises(InputError, match="task sst2 scores whole options, .*, or --task=lm"):
        random_rows(WORK, bundle, step=1, tokens=8)


def test_a_ratio_above_one_is_always_better():
    step = {"step_seconds": 3.0, "forward_seconds": [0.5, 1.5], "noise_seconds": [0.25] * 3}
    ours = {"steps": [step], "peak_anon_bytes": 10, "peak_rss_bytes": 0}
    slow = {name: 2 * value if "seconds" in name else value for name, value in step.items()}
    slow["forward_seconds"], slow["noise_seconds"] = [2.0, 2.0], [0.5] * 4
    theirs = {"steps": [slow], "peak_anon_bytes": 20, "peak_rss_bytes": 5}

    a, b = (summarise(side, 10**9, parameters=10**9, sgemm_gflops=4.0) for side in (ours, theirs))

    assert a["forward_seconds"] == 1.0
    assert (a["forward_gflops"], a["forward_share_of_sgemm"]) == (1.0, 0.25)
    assert a["noise_pass_ns_per_parameter"] == 0.25
    expected = dict.fromkeys(FIGURES, 2.0) | {"peak_rss_bytes": None}
    assert ratios(a, b) == expected
    batch = {"batch_size": 8, "ratio": expected, "first_loss_difference": 0.0}
    batch |= {"ours": {"summary": a, "first_loss": 1}, "pytorch": {"summary": b, "first_loss": 1}}
    assert len(batch_table(batch).splitlines()) == len(ROWS) + 1, "no row of a direction"
    assert "PyTorch, row" not in batch_table(batch)


def test_the_table_shows_both_ratios_of_opt():
    summary = dict.fromkeys(FIGURES, 1.0)
    batch = {"batch_size": 8, "ours": {"summary": summary, "first_loss": 0.5}}
    for suffix, ratio in (("", 4.25), ("_row", 3.75)):
        batch[f"pytorch{suffix}"] = {"summary": summary, "first_loss": 0.5}
        batch[f"ratio{suffix}"] = dict.fromkeys(FIGURES, ratio)
        batch[f"first_loss_difference{suffix}"] = ratio * 1e-7

    lines = batch_table(batch).splitlines()

    assert re.split("  +", lines[0])[1:] == ["ours", "PyTorch", "ratio", "PyTorch, row", "ratio"]
    figures = [line.split()[-5:] for line in lines[1 : len(ROWS)]]
    assert {(theirs[1], theirs[3]) for _, *theirs in figures} == {("4.25", "3.75")}
    assert re.split("  +", lines[-2])[-4::2] == ["0.500000", "0.500000"]
    assert re.split("  +", lines[-2])[-3::2] == ["4e-07 apart", "4e-07 apart"]
    assert lines[-1] == "  PyTorch, row: PyTorch, head on the option row"
    assert all(len(line) <= 100 for line in lines)


def test_losses_that_differ_before_the_first_step_are_refused():
    batch = {"batch_size": 8, "ours": {"first_loss": 0.7}, "pytorch": {"first_loss": 0.8}}

    comparison.check_losses(batch | {"first_loss_difference": 9e-5})
    for difference in (2e-4, float("nan")):
        with pytest.raises(RunError, match="batch 8: .* 0.700000 here and 0.800000 in PyTorch"):
            comparison.check_losses(batch | {"first_loss_difference": difference})
    row = {"pytorch_row": {"first_loss": 0.9}, "first_loss_difference_row": 2e-4}
    with pytest.raises(RunError, match="0.900000 in PyTorch, head on the option row, expected"):
        comparison.check_losses(batch | {"first_loss_difference": 0.0} | row)
    comparison.check_losses({"batch_size": 8, "pytorch": None, "pytorch_row": None})


def test_bench_measures_each_engine_without_pytorch(golden_bundle, engine, tmp_path):
    out = tmp_path / "bench.json"
    tokens = golden_bundle.lengths[-1]
    flags = f"--batch_sizes=1,3 --steps=1 --threads=1 --engine={engine} --seq_len={tokens}"

    done = pocketllm(
        "bench",
        f"--bundle={golden_bundle.folder}",
        *flags.split(),
        f"--json={out}",
        timeout=SECONDS,
    )

    assert done.returncode == 0, done.stderr
    assert "PyTorch" not in done.stdout and "INFO" not in done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert [batch["batch_size"] for batch in result["batches"]] == [1, 3]
    for batch in result["batches"]:
        assert batch["ours"]["runs"].startswith(f"{engine} (")
        assert (batch["pytorch"], batch["ratio"]) == (None, None)
        assert (batch["pytorch_row"], batch["ratio_row"]) == (None, None)


@pytest.mark.desktop
def test_bench_exports_a_preset_and_says_what_that_took(tmp_path):
    out = tmp_path / "bench.json"
    done = pocketllm(
        "bench", "--model=roberta-micro", "--batch_sizes=1", "--seq_len=8", "--steps=1",
        "--noise=rademacher", f"--json={out}", timeout=SECONDS,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["noise"] == "rademacher"
    assert result["export"]["seconds"] > 0 and result["export"]["peak_rss_bytes"] > 0
    assert result["batches"][0]["pytorch"] is None
    assert result["batches"][0]["ours"]["buckets"] == [8, 32]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ([], "--model is missing (or --bundle)"),
        (["--model=gpt"], "--model=gpt: expected a preset (roberta-micro, "),
        (
            ["--model=roberta-micro", "--engine=onnx"],
            "--engine=onnx: value should be one of <litert|tflite>",
        ),
        (["--model=roberta-micro", "--batch_sizes=8,none"], "--batch_sizes=8,none: expected whole"),
        (["--model=roberta-micro", "--batch_sizes=0"], "--batch_sizes=0: expected whole numbers"),
        (["--model=roberta-micro", "--steps=0"], "--steps"),
        (["--model=roberta-micro", "--against=jax"], "--against"),
        (
            ["--model=roberta-micro", "--optimizer=fzoo", "--against=pytorch"],
            "--against is not for --optimizer=fzoo; leave it out",
        ),
        (["--bundle=nowhere"], "nowhere"),
        (["--bundle=nowhere", "--noise=gaussian"], "--noise goes with an export of --model"),
    ],
)
def test_bad_flags_are_told_in_one_line(flags, complaint):
    done = pocketllm("bench", *flags)

    assert done.returncode == 2
    assert done.stderr.startswith("pocketllm bench: error: ") and complaint in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("--model=roberta-base", "of {model}, --model is roberta-base"),
        (
            "--seq_len={above}",
            "--seq_len={above}: the bundle's longest bucket has {longest} tokens",
        ),
    ],
    ids=["model", "seq_len"],
)
def test_flags_that_do_not_fit_the_bundle_are_told_in_one_line(flag, complaint, golden_bundle):
    longest = golden_bundle.lengths[-1]
    names = {"model": golden_bundle.model_name, "longest": longest, "above": longest + 1}

    done = pocketllm("bench", f"--bundle={golden_bundle.folder}", flag.format(**names))

    assert done.returncode == 2
    assert complaint.format(**names) in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.desktop
def test_a_bundle_of_whole_options_is_told_in_one_line(make_opt_checkpoint, make_bundle):
    bundle = make_bundle(make_opt_checkpoint(), task="copa")

    done = pocketllm("bench", f"--bundle={bundle.folder}")

    assert done.returncode == 2
    assert done.stderr == (
        f"pocketllm bench: error: {bundle.folder}: task copa scores whole options, the bench "
        "measures label words, or all tokens; use a bundle exported with --task=sst2, or "
        "--task=lm\n"
    )
