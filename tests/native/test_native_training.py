"""The native program takes the steps of `pocketllm train`: the same journal, byte for byte."""

import json

import pytest
from native_program import files_of, flags_of, native
from small_runs import pocketllm

from pocketllm.runtime.journal.reader import read_journal

STEPS = 50
RUNS = {
    "mezo": {"lr": 1e-2},
    "decay": {"lr": 1e-2, "weight_decay": 1e-3, "lr_schedule": "cosine"},
    "normalized": {"lr": 1e-3, "normalize": "true", "lr_schedule": "linear"},
    "fzoo": {"lr": 1e-2, "optimizer": "fzoo", "directions": 5, "weight_decay": 0.1},
    "two-sides": {"lr": 1e-2, "optimizer": "fzoo", "directions": 4, "sides": 2},
}


def check_equal(folder, bundle, rows, *, steps, **settings):
    """Asserts that both programs write the same run."""
    common = flags_of(bundle=bundle, steps=steps, threads=1, **settings)
    theirs, ours = folder / "python", folder / "native"
    data = flags_of(train=rows / "train.tsv", dev=rows / "dev.tsv", run=theirs)
    assert (done := pocketllm("train", *common, *data)).returncode == 0, done.stderr
    encoded = flags_of(encoded=rows / "train.rows", dev=rows / "dev.rows", run=ours)
    assert (done := native(*common, *encoded)).returncode == 0, done.stderr

    assert files_of(ours) == files_of(theirs)
    assert len(files_of(ours)) == 3 and not (ours / "flushed").exists()


@pytest.mark.parametrize("kind", RUNS)
def test_every_optimizer_writes_the_bytes_of_the_python_runtime(kind, small, tmp_path):
    settings = {"eps": 1e-2, "batch_size": 5, "seed": 7, "eval_every": 5} | RUNS[kind]

    check_equal(tmp_path, small / "bundle", small, steps=12, **settings)


def test_the_lines_of_a_step_say_the_same(small, tmp_path):
    common = flags_of(bundle=small / "bundle", steps=3, lr=1e-2, threads=1)
    theirs, ours = tmp_path / "python", tmp_path / "native"
    pocketllm("train", *common, *flags_of(train=small / "train.tsv", run=theirs))
    native(*common, *flags_of(encoded=small / "train.rows", run=ours))

    def lines(run):
        return list(map(json.loads, (run / "metrics.jsonl").read_text().splitlines()))

    costs = {"seconds", "peak_anon_bytes", "peak_rss_bytes"}
    for line, expected in zip(lines(ours), lines(theirs), strict=True):
        assert list(line) == list(expected)
        assert all(line[name] > 0 for name in costs)
        assert {n: v for n, v in line.items() if n not in costs} == {
            n: v for n, v in expected.items() if n not in costs
        }


@pytest.mark.desktop
@pytest.mark.parametrize("name", ["full", "lora-int8", "pairs"])
def test_fifty_steps_of_a_preset_are_the_same_bytes(name, preset, tmp_path):
    folder = preset(name)

    settings = {"lr": 1e-3, "batch_size": 5, "eval_every": 25}
    check_equal(tmp_path, folder / "bundle", folder, steps=STEPS, **settings)


@pytest.mark.desktop
@pytest.mark.parametrize("kind", ["decay", "normalized", "two-sides"])
def test_pairs_are_taken_and_left_as_by_the_python_runtime(kind, preset, tmp_path):
    """One pass a direction where the bundle has them; with --nopairs as without."""
    folder = preset("pairs")
    settings = {"batch_size": 5} | RUNS[kind]
    counts = []
    for pairs in ("true", "false"):
        place = tmp_path / pairs
        place.mkdir()
        check_equal(place, folder / "bundle", folder, steps=12, pairs=pairs, **settings)
        counts.append(len(read_journal(place / "native" / "journal").steps[0].passes))

    directions = 4 if kind == "two-sides" else 1
    assert counts == [directions, 4 * directions - 1]


@pytest.mark.desktop
def test_pairs_that_cannot_be_had_are_refused_in_one_line(preset, small, tmp_path):
    for place, flags, problem in (
        (small, [], "no signature forward_pair, which --pairs needs"),
        (preset("pairs"), ["--optimizer=fzoo", "--sides=1"], "--pairs goes with"),
    ):
        values = {"encoded": place / "train.rows", "run": tmp_path / "run", "steps": 1, "lr": 1e-3}
        done = native(*flags_of(bundle=place / "bundle", **values), "--pairs", *flags)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert problem in done.stderr and not (tmp_path / "run").exists()
