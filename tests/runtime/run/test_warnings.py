"""A run that cannot work says so once, keeps it, fails with --strict; a healthy one is silent."""

import json
import re

import pytest
from small_runs import complaint, pocketllm, rows, write_tsv

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.health.record import RunWarning, read_warnings, write_warnings

pytest_plugins = ["runtime_fixtures"]


@pytest.fixture
def training(golden_bundle, train_file, dev_file, tmp_path):
    """Trains a run with flags that are healthy unless others are given."""

    def train(*more, run="run", **flags):
        values = {
            "bundle": golden_bundle.folder, "train": train_file, "dev": dev_file,
            "run": tmp_path / run, "steps": 24, "lr": 1e-3, "eval_every": 8, "threads": 1,
            "json": tmp_path / "result.json",
        } | flags  # fmt: skip
        given = [f"--{name}={value}" for name, value in values.items() if value is not None]
        return pocketllm("train", *given, *more)

    return train


@pytest.fixture
def warnings(tmp_path):
    """Returns the warnings of --json."""
    return lambda: json.loads((tmp_path / "result.json").read_text())["warnings"]


def printed_warnings(done):
    """Returns the warnings that a command printed."""
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    return [line.removeprefix("warning: ") for line in lines]


def test_a_healthy_run_has_no_warning_and_is_not_stopped_by_strict(training, warnings, tmp_path):
    assert printed_warnings(training("--strict")) == [] == warnings()
    assert not (tmp_path / "run" / "warnings.json").exists()


@pytest.mark.parametrize(
    ("flags", "kind", "words"),
    [
        ({"eps": 4e-8, "lr": 1e-6, "seed": 2}, "no-gradient", "first 20 steps.*larger --eps"),
        ({"lr": 1e-13}, "nothing-moves", "most keep their bits.*larger --lr"),
        ({"lr": 3.0}, "diverged", "the run has diverged.*smaller --lr"),
    ],
)
def test_what_steps_show_is_a_warning_and_with_strict_a_failure(
    flags, kind, words, training, warnings, tmp_path
):
    done = training(**flags)
    (text,) = printed_warnings(done)

    assert warnings() == [text]
    (entry,) = read_warnings(tmp_path / "run")
    assert (entry.kind, entry.text) == (kind, text)
    assert re.search(words, text)

    refused = training("--strict", run="strict", **flags)
    complaint(refused, 1, text, "--strict")
    (entry,) = read_warnings(tmp_path / "strict")
    assert entry.text == text


def test_a_run_that_goes_on_keeps_its_warning_and_does_not_repeat_it(training, warnings, tmp_path):
    (text,) = printed_warnings(training(eps=1e-30))
    assert printed_warnings(training(eps=1e-30, steps=32)) == []
    assert warnings() == [text]
    complaint(training("--strict", eps=1e-30, steps=40), 1, text)

    (tmp_path / "run" / "warnings.json").unlink()  # as of a run of an earlier version
    assert printed_warnings(training(eps=1e-30, steps=40)) == [text]


def test_a_probe_of_rounding_is_a_warning_before_the_first_step(training, tmp_path):
    (text,) = printed_warnings(training(eps=1e-30))
    assert "--eps=1e-30 is less than the " in text and "the bundle's 0.001 say" in text
    complaint(training("--strict", eps=1e-30, run="strict"), 1, text)
    assert not (tmp_path / "strict").exists()


def test_a_short_run_says_it_at_its_end(training):
    (text,) = printed_warnings(training(eps=4e-8, lr=1e-6, steps=4, eval_every=2))
    assert "first 4 steps" in text


@pytest.fixture
def one_class(tmp_path):
    return write_tsv(tmp_path / "one.tsv", [(text, 1) for text, _ in rows(10, seed=5)])


def test_data_of_one_class_are_a_warning_before_the_first_step(training, one_class, tmp_path):
    (text,) = printed_warnings(training(dev=one_class))
    assert f"{one_class}: all 10 dev examples have the same label" in text
    (text,) = printed_warnings(training(train=one_class, run="second"))
    assert f"{one_class}: all 10 training examples have the same label" in text

    refused = training("--strict", train=one_class, run="strict")
    complaint(refused, 1, text)
    assert not (tmp_path / "strict").exists()


def test_a_dev_set_of_training_examples(training, train_file):
    (text,) = printed_warnings(training(dev=train_file))
    assert "all 14 dev examples are among those trained on" in text


@pytest.mark.parametrize("flags", [{"eval_every": 0}, {"eval_every": 24}, {"eval_every": 25}])
def test_a_best_step_of_one_evaluation(flags, training, warnings, tmp_path):
    (text,) = printed_warnings(training(**flags))
    assert "the best step is chosen from one evaluation, that of step 24" in text
    complaint(training("--strict", run="strict", **flags), 1, text)
    assert not (tmp_path / "strict").exists()

    assert printed_warnings(training(steps=32)) == [] == warnings()  # there are two by now
    assert read_warnings(tmp_path / "run") == ()


def test_no_dev_set_chooses_no_step(training):
    assert printed_warnings(training(dev=None)) == []


def test_a_learning_rate_of_zero(training, tmp_path):
    (text,) = printed_warnings(training(lr=0))
    assert "--lr=0 moves no parameter" in text
    complaint(training("--strict", lr=0, run="strict"), 1, text)
    assert not (tmp_path / "strict").exists()


def test_a_decay_that_takes_more_than_all_is_named_before_the_start_and_where_it_diverges(
    training, tmp_path
):
    texts = printed_warnings(training(weight_decay=3000))
    assert "--weight_decay=3000 times --lr=0.001 is 3: each step" in texts[0]
    assert "the run has diverged" in texts[1] and "smaller --weight_decay" in texts[1]
    complaint(training("--strict", weight_decay=3000, run="strict"), 1, texts[0])
    assert not (tmp_path / "strict").exists()

    ruined = training(weight_decay=1e20, run="ruined")
    complaint(ruined, 1, "not finite", "a smaller --weight_decay")
    assert "--lr" not in ruined.stderr and "--weight_decay=1e+20 times" in ruined.stdout


def test_a_damaged_file_of_warnings_is_named(tmp_path):
    write_warnings(tmp_path, [RunWarning("a", "b")])
    assert read_warnings(tmp_path) == (RunWarning("a", "b"),)
    (tmp_path / "warnings.json").write_text('{"warnings": [1]}')
    with pytest.raises(InputError, match="warnings.json: damaged .*; remove the file"):
        read_warnings(tmp_path)


@pytest.mark.desktop
def test_the_report_says_it(training, tmp_path):
    (text,) = printed_warnings(training(eps=1e-30))
    done = pocketllm("report", tmp_path / "run", f"--out={tmp_path / 'report'}")

    assert done.returncode == 0 and f"warning: {text}" in done.stdout
    (run,) = json.loads((tmp_path / "report" / "report.json").read_text())["runs"]
    assert run["warnings"] == [text]
    assert "## Warnings" in (tmp_path / "report" / "report.md").read_text()
