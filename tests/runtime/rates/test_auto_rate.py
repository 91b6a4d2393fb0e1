"""`train` without --lr: measured, said once, recorded, repeatable, continued as it was chosen."""

import json
import re
import shutil

import pytest
from small_runs import complaint, pocketllm, rows, write_tsv

from pocketllm.runtime.journal.reader import JOURNAL

pytest_plugins = ["runtime_fixtures"]
LINE = re.compile(r"^lr (\S+), measured: gradient norm .* \((\S+)% of the run's forward passes\)$")


@pytest.fixture
def command(golden_bundle, train_file, tmp_path):
    """Runs `pocketllm train` on the committed bundle: (**flags) -> the finished process."""

    def run(**changes):
        values = {
            "bundle": golden_bundle.folder, "train": train_file, "run": tmp_path / "run",
            "steps": 30, "batch_size": 6, "threads": 1, "json": tmp_path / "result.json",
        } | changes  # fmt: skip
        return pocketllm("train", *(f"--{name}={value}" for name, value in values.items()))

    return run


def result_of(tmp_path):
    return json.loads((tmp_path / "result.json").read_text())


def chosen_line(done):
    """Returns the line that says what was chosen."""
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "measured:" in line]
    return line


@pytest.mark.parametrize(
    "flags",
    [{}, {"normalize": "true"}, {"optimizer": "fzoo", "directions": 4}],
    ids=["mezo", "normalized", "fzoo"],
)
def test_a_run_without_a_rate_has_the_bytes_of_one_with_the_measured_rate(flags, command, tmp_path):
    line = chosen_line(command(**flags))
    rate = LINE.match(line)[1]
    measured, result = tmp_path / "run", result_of(tmp_path)
    assert result["lr"] == float(rate) > 0
    assert json.loads((measured / "config.json").read_text())["lr"] == float(rate)
    recorded = json.loads((measured / "measured.json").read_text())
    assert recorded["chosen"]["lr"] == float(rate)
    assert recorded["measured"]["rows"] >= 8 and recorded == result["measured"]

    done = command(**flags, lr=rate, run=tmp_path / "given")

    assert done.returncode == 0 and "measured:" not in done.stdout
    journals = [(run / JOURNAL).read_bytes() for run in (measured, tmp_path / "given")]
    assert journals[0] == journals[1]
    assert result_of(tmp_path)["measured"] is None


def test_a_longer_run_measures_a_twentieth_and_the_same_seed_the_same(command, tmp_path):
    lines = [chosen_line(command(steps=200, run=tmp_path / name)) for name in "ab"]
    other = chosen_line(command(steps=200, run=tmp_path / "c", seed=1))

    assert lines[0] == lines[1] != other
    assert float(LINE.match(lines[0])[2]) <= 5
    first, second = ((tmp_path / name / "measured.json").read_bytes() for name in "ab")
    assert first == second
    measured = json.loads(first)["measured"]
    assert measured["calls"] <= 0.05 * measured["run_calls"]
    assert measured["run_calls"] == 200 * 2 * 2  # two batches of three rows, both sides


def test_a_run_goes_on_with_what_it_chose(command, tmp_path):
    chosen_line(command(steps=20))
    done = command(steps=30)
    assert done.returncode == 0 and "measured:" not in done.stdout, done.stderr
    again = command(steps=32, lr="auto")
    assert again.returncode == 0, again.stderr
    rate = result_of(tmp_path)["lr"]

    whole = command(steps=32, lr=rate, run=tmp_path / "whole")

    assert whole.returncode == 0
    journals = [(tmp_path / name / JOURNAL).read_bytes() for name in ("run", "whole")]
    assert journals[0] == journals[1]


def test_a_run_that_was_killed_behind_its_measurement_begins_anew_with_the_same(command, tmp_path):
    """measured.json is written first; config.json, with which the run begins, behind it."""
    line = chosen_line(command())
    killed = tmp_path / "killed"
    killed.mkdir()
    shutil.copy(tmp_path / "run" / "measured.json", killed)

    assert chosen_line(command(run=killed)) == line
    assert (killed / JOURNAL).read_bytes() == (tmp_path / "run" / JOURNAL).read_bytes()


def test_what_a_killed_run_measured_is_not_that_of_a_run_with_a_number(command, tmp_path):
    chosen_line(command())
    killed = tmp_path / "killed"
    killed.mkdir()
    shutil.copy(tmp_path / "run" / "measured.json", killed)

    assert command(run=killed, lr="1e-3").returncode == 0
    assert result_of(tmp_path)["measured"] is None


@pytest.mark.parametrize("text", ["{broken", "[]", '{"chosen": 1}'])
def test_a_damaged_record_of_what_was_measured_is_said_and_stops_nothing(text, command, tmp_path):
    chosen_line(command(steps=2))
    (tmp_path / "run" / "measured.json").write_text(text)

    done = command(steps=3)

    assert done.returncode == 0, done.stderr
    assert "measured.json: " in done.stdout and "passed over, only reports need it" in done.stdout
    result = result_of(tmp_path)
    assert result["last_step"] == 3 and result["measured"] is None


def test_a_run_begun_with_a_number_goes_on_with_it_and_refuses_another(command, tmp_path):
    assert command(lr="1e-3", steps=2).returncode == 0
    assert command(steps=3).returncode == 0
    assert result_of(tmp_path)["lr"] == 1e-3

    complaint(command(lr="1e-4", steps=4), 2, "another config (lr 0.001 -> 0.0001)")


def test_both_settings_can_be_left_to_measurement(command, golden_bundle, tmp_path):
    line = chosen_line(command(eps="auto"))
    assert re.match(r"lr \S+, eps \S+, measured: ", line)
    chosen = json.loads((tmp_path / "run" / "measured.json").read_text())["chosen"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["lr"], config["eps"]) == (chosen["lr"], chosen["eps"])
    assert golden_bundle.default_eps / 10.1 < chosen["eps"] < golden_bundle.default_eps * 10.1

    line = chosen_line(command(eps="auto", lr="1e-3", run=tmp_path / "eps"))
    assert line.startswith(f"eps {chosen['eps']:g}, measured: ")
    assert command(eps="auto", lr="1e-3", run=tmp_path / "eps", steps=31).returncode == 0


@pytest.mark.parametrize("flags", [{}, {"lr": "auto"}, {"lr": "1e-3", "eps": "auto"}], ids=str)
def test_too_few_examples_are_refused_in_one_line(flags, command, tmp_path):
    data = write_tsv(tmp_path / "few.tsv", rows(7, seed=1))
    name = "eps" if "eps" in flags else "lr"

    done = command(train=data, **flags)

    complaint(
        done, 2, f"few.tsv: 7 examples are fewer than the 8 that --{name}=auto measures; give"
    )
    assert not (tmp_path / "run").exists()
    assert command(train=data, lr="1e-3").returncode == 0


@pytest.mark.parametrize("value", ["fast", "AUTO", ""])
def test_what_is_no_number_is_refused_in_one_line(value, command):
    complaint(command(lr=value), 2, "--lr", "expected a number, or auto")


def test_a_loss_that_is_not_finite_while_measuring_is_one_line_and_begins_no_run(command, tmp_path):
    done = command(eps=1e30)

    complaint(done, 1, "a loss is not finite at a probe of 1e+30", "give a smaller --eps")
    assert command().returncode == 0


def test_strict_holds_for_the_chosen_settings_too(command):
    assert chosen_line(command(strict="true", steps=60))
