"""`pocketllm train --optimizer=fzoo` and `--normalize` from outside: refused, trained, reported."""

import json

import pytest
from small_runs import complaint, pocketllm

from pocketllm.runtime.journal.lines import read_steps
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.optim.fzoo import FzooStep
from pocketllm.runtime.optim.mezo import MezoStep

pytest_plugins = ["runtime_fixtures"]


@pytest.fixture
def command(golden_bundle, train_file, tmp_path):
    """Runs `pocketllm train` on the committed bundle: (**flags) -> the finished process."""

    def run(**changes):
        values = {
            "bundle": golden_bundle.folder, "train": train_file, "run": tmp_path / "run",
            "optimizer": "fzoo", "steps": 4, "batch_size": 5, "threads": 1, "lr": 1e-4,
        } | changes  # fmt: skip
        return pocketllm("train", *(f"--{name}={value}" for name, value in values.items()))

    return run


@pytest.mark.parametrize("sides", [{}, {"sides": 1}], ids=["by-default", "named"])
def test_one_side_of_one_direction_is_refused_in_one_line(sides, command, tmp_path):
    done = command(directions=1, **sides)

    complaint(done, 2, "--directions=1 with --sides=1: ", "give --directions=2 or more, or --sides")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ({"directions": 0}, "--directions=0: expected a number from 1 to 256"),
        ({"directions": 257}, "--directions=257: expected a number from 1 to 256"),
        ({"sides": 3}, "--sides=3: expected a number from 1 to 2"),
        ({"normalize": "true"}, "--normalize is a setting of mezo; leave it out"),
        ({"optimizer": "mezo", "directions": 8}, "--directions is a setting of fzoo; leave it out"),
        ({"optimizer": "mezo", "sides": 2}, "--sides is a setting of fzoo; leave it out"),
        ({"lr": "nan"}, "--lr=nan: expected 0 or more"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_one_line(flag, text, command, tmp_path):
    complaint(command(**flag), 2, text)
    assert not (tmp_path / "run").exists()


def test_a_run_is_trained_goes_on_and_is_reported(command, golden_bundle, train_file, tmp_path):
    run = tmp_path / "run"
    assert command(dev=train_file).returncode == 0
    again = command(dev=train_file, steps=7)

    assert (again.returncode, again.stderr) == (0, "")
    config = json.loads((run / "config.json").read_text())
    assert (config["optimizer"], config["directions"], config["sides"]) == ("fzoo", 8, 1)
    assert (config["lr"], config["eps"]) == (1e-4, golden_bundle.default_eps)
    steps, journal = read_steps(run, FzooStep), read_journal(run / JOURNAL)
    assert [step.losses for step in steps] == [step.losses for step in journal.steps]
    assert [len(step.losses) for step in steps] == [8] * 7
    assert {len(step.passes) for step in journal.steps} == {3 * 8 - 1}
    assert all(step.projected_grad > 0 and step.divisor > 0 for step in steps)
    refused = command(directions=4, steps=7)
    complaint(refused, 2, "another config (directions 8 -> 4)")
    for number in (0, 3, 7):
        done = pocketllm(
            "eval", f"--bundle={golden_bundle.folder}", f"--run={run}", f"--data={train_file}",
            f"--at_step={number}",
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")


def test_a_journal_of_plain_mezo_says_nothing_of_the_normaliser(command, tmp_path):
    """So a run of an earlier version goes on."""
    for name, flags in (("plain", {}), ("normalized", {"normalize": "true"})):
        done = command(run=tmp_path / name, optimizer="mezo", **flags)
        assert (done.returncode, done.stderr) == (0, "")
    plain, normalized = (tmp_path / name for name in ("plain", "normalized"))

    assert "normalize" not in read_journal(plain / JOURNAL).header
    assert read_journal(normalized / JOURNAL).header["normalize"] is True
    assert "divisor" not in (plain / "metrics.jsonl").read_text()
    assert {step.divisor for step in read_steps(plain, MezoStep)} == {None}
    assert all(step.divisor > 0 for step in read_steps(normalized, MezoStep))
    complaint(
        command(run=plain, optimizer="mezo", normalize="true"), 2,
        "another config (normalize None -> True)",
    )  # fmt: skip


@pytest.mark.desktop
@pytest.mark.parametrize("kind", ["fzoo", "normalized"])
def test_a_report_and_a_checkpoint_come_of_such_a_run(
    kind, command, make_bundle, make_checkpoint, tmp_path
):
    bundle = make_bundle(make_checkpoint())
    flags = {"optimizer": "mezo", "normalize": "true"} if kind == "normalized" else {}
    assert command(bundle=bundle.folder, **flags).returncode == 0

    reported = pocketllm("report", tmp_path / "run", f"--out={tmp_path / 'report'}")
    replayed = pocketllm(
        "replay", f"--bundle={bundle.folder}", f"--run={tmp_path / 'run'}",
        f"--out={tmp_path / 'checkpoint'}",
    )  # fmt: skip

    assert (reported.returncode, reported.stderr) == (0, "")
    (run,) = json.loads((tmp_path / "report" / "report.json").read_text())["runs"]
    assert (run["optimizer"], run["steps"]) == (flags.get("optimizer", "fzoo"), 4)
    assert "projected gradient" in (tmp_path / "report" / "curves.svg").read_text()
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert (tmp_path / "checkpoint" / "model.safetensors").exists()


@pytest.mark.desktop
def test_on_a_base_of_integers_both_sides_are_taken(
    command, make_bundle, make_checkpoint, tmp_path
):
    bundle = make_bundle(make_checkpoint(), kind="lora", base="int8")
    chosen = {}
    for name, flags in (("default", {}), ("one", {"sides": 1})):
        done = command(bundle=bundle.folder, run=tmp_path / name, directions=3, **flags)
        assert (done.returncode, done.stderr) == (0, "")
        chosen[name] = [len(step.losses) for step in read_steps(tmp_path / name, FzooStep)]

    assert chosen == {"default": [6] * 4, "one": [3] * 4}
