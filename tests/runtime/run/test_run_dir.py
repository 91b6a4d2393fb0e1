"""The run directory: what it refuses, what it repairs, and which step it calls the best."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import pocketllm, steady

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.lock import run_lock
from pocketllm.runtime.host.memory import Peak
from pocketllm.runtime.journal.lines import (
    Evaluated,
    append_evaluation,
    append_step,
    best_step,
    read_evaluations,
    read_steps,
)
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.journal.writer import JournalWriter
from pocketllm.runtime.optim.applied import Applied, Pass
from pocketllm.runtime.optim.interface import JOURNALLED
from pocketllm.runtime.optim.mezo import MezoSettings, MezoStep
from pocketllm.runtime.run.folder import RunConfig, read_run, start_or_continue

pytest_plugins = ["runtime_fixtures"]


BUNDLE = SimpleNamespace(checksum="b" * 64)


def config(**changes):
    values = {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.0, "lr_schedule": "constant", "steps": 4}
    run = {"bundle_checksum": "b" * 64, "train_sha256": "d" * 64, "batch_size": 8, "seed": 0}
    values |= {name: value for name, value in changes.items() if name in values}
    run |= {name: value for name, value in changes.items() if name in run}
    return RunConfig(**run, settings=MezoSettings(**values))


def step(number, **changes):
    values = {"loss_plus": 0.5, "loss_minus": 0.25, "projected_grad": 125.0, "lr": 0.1}
    return MezoStep(step=number, seed=1000 + number, **values | changes)


def applied(number):
    """What a step's record holds."""
    return Applied(number, (0.5, 0.25), 0.1, 1e-3, (Pass(1000 + number, 0.5),))


def take(folder, *numbers):
    """Records steps as `train` does."""
    with JournalWriter(folder / JOURNAL) as journal:
        for number in numbers:
            append_step(folder, step(number), 0.5, Peak(1, 2))
            journal.append(applied(number))


@pytest.fixture
def run(tmp_path):
    """A run directory of three steps."""
    folder = tmp_path / "run"
    start_or_continue(folder, config())
    take(folder, 1, 2, 3)
    return folder


def test_a_new_run_starts_empty_and_a_held_one_gives_its_steps_back(run, tmp_path):
    assert start_or_continue(tmp_path / "deep" / "new", config()) == []
    assert start_or_continue(run, config()) == [applied(1), applied(2), applied(3)]
    stored = read_run(run, BUNDLE)
    assert (stored.kind, stored.applied) == (JOURNALLED, [applied(1), applied(2), applied(3)])
    settings = {**asdict(config().settings), "optimizer": "mezo", "seed": 0}
    del settings["steps"]  # may be raised: those that were taken count
    del settings["normalize"]  # has its default
    assert stored.description.items() >= settings.items()


def test_an_empty_folder_is_taken(tmp_path):
    assert start_or_continue(tmp_path, config()) == []


@pytest.mark.parametrize("file", ["notes.txt", "metrics.jsonl"])
def test_a_folder_that_holds_something_else_is_refused_and_left_alone(file, tmp_path):
    (tmp_path / file).write_text("mine")

    with pytest.raises(InputError, match="holds no run"):
        start_or_continue(tmp_path, config())

    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")

    with pytest.raises(InputError, match="holds no run"):
        start_or_continue(tmp_path / "run", config())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_sha256", "c" * 64),
        ("batch_size", 16),
        ("seed", 1),
        ("lr", 0.2),
        ("eps", 1e-2),
        ("weight_decay", 0.1),
        ("lr_schedule", "linear"),
    ],
)
def test_another_config_is_refused_naming_field_and_values(name, value, run):
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    with pytest.raises(InputError) as error:
        start_or_continue(run, config(**{name: value}))

    values = json.loads((run / "config.json").read_text())[name]
    assert f"({name} {values!r} -> {value!r})" in str(error.value)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_all_differing_fields_are_named_at_once(run):
    with pytest.raises(InputError, match=r"\(lr 0\.1 -> 0\.2, seed 0 -> 7\)"):
        start_or_continue(run, config(lr=0.2, seed=7))


def test_more_steps_go_on_with_a_constant_schedule_and_are_refused_with_a_linear_one(run, tmp_path):
    assert len(start_or_continue(run, config(steps=9))) == 3
    assert json.loads((run / "config.json").read_text())["steps"] == 9
    linear = tmp_path / "linear"
    start_or_continue(linear, config(lr_schedule="linear"))

    with pytest.raises(
        InputError, match="was started with --steps=4, found --steps=9; --lr_schedule=linear falls"
    ):
        start_or_continue(linear, config(lr_schedule="linear", steps=9))


@steady
@given(cut=st.integers(min_value=1))
def test_a_last_line_cut_anywhere_is_dropped_and_the_run_goes_on(cut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    start_or_continue(folder, config())
    take(folder, 1, 2, 3)
    data = (folder / "metrics.jsonl").read_bytes()
    last = len(data.splitlines(keepends=True)[-1])
    torn = data[: -1 - (cut - 1) % last]
    (folder / "metrics.jsonl").write_bytes(torn)

    assert read_steps(folder, MezoStep) == [step(1), step(2)]
    assert (folder / "metrics.jsonl").read_bytes() == torn  # reading repairs nothing

    # A power failure may cost lines of steps that the journal holds.
    assert start_or_continue(folder, config()) == [applied(1), applied(2), applied(3)]
    take(folder, 4)
    assert [line.step for line in read_steps(folder, MezoStep, gaps=True)] == [1, 2, 4]


def test_lines_of_steps_that_did_not_come_to_count_are_cut_off(run):
    append_step(run, step(4), 0.5, Peak(1, 2))
    append_step(run, step(5), 0.5, Peak(1, 2))
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "se')

    assert start_or_continue(run, config()) == [applied(1), applied(2), applied(3)]
    assert read_steps(run, MezoStep) == [step(1), step(2), step(3)]


def test_a_run_without_its_journal_is_refused(run):
    (run / JOURNAL).unlink()

    for read in (lambda: start_or_continue(run, config()), lambda: read_run(run, BUNDLE)):
        with pytest.raises(InputError, match="a run without its journal.*restore it"):
            read()


def test_the_journal_of_another_run_is_refused(run, tmp_path):
    start_or_continue(tmp_path / "other", config(seed=7))
    (tmp_path / "other" / JOURNAL).replace(run / JOURNAL)

    with pytest.raises(InputError, match=r"belongs to another run than config.json .*\(seed\)"):
        start_or_continue(run, config())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"{", "damaged"),
        (b"", "damaged"),
        (b"[]", "damaged"),
        (b"\xff", "damaged"),
        (b'{"step": 2}', "seed"),
        (b'{"step": 7, "seed": 1, "loss_plus": 1, "loss_minus": 1, "projected_grad": 1, "lr": 1}',
         "step 7, expected 2"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named(line, complaint, run):
    path = run / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], line + b"\n", lines[2]]))

    with pytest.raises(InputError, match=r"metrics\.jsonl: line 2 ") as error:
        read_steps(run, MezoStep)

    assert complaint in str(error.value)


@steady
@given(
    values=st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 4),
    seed=st.integers(0, 2**31 - 1),
)
def test_floats_come_back_as_the_same_bits(values, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    written = MezoStep(1, seed, *values)

    append_step(folder, written, 0.5, Peak(1, 2))

    assert [repr(line) for line in read_steps(folder, MezoStep)] == [
        repr(written)
    ]  # -0.0 is not 0.0


@pytest.mark.parametrize(
    ("evaluations", "best"),
    [
        ([], 3),  # no dev set: the last step
        ([(0, 0.9, 1.0), (2, 0.8, 0.1), (3, 0.9, 2.0)], 0),  # accuracy first
        ([(0, 0.9, 1.0), (2, 0.9, 0.5), (3, 0.9, 0.6)], 2),  # then loss
        ([(0, 0.9, 1.0), (2, 0.9, 1.0), (3, 0.9, 1.0)], 0),  # then the earlier
        ([(0, 0.5, 1.0), (3, 0.6, 1.0), (4, 1.0, 0.0)], 3),  # not beyond the last step
        ([(2, 0.9, 1.0), (0, 0.6, 1.0), (2, 0.5, 1.0)], 0),  # evaluated again: the later counts
    ],
)
def test_the_best_step(evaluations, best, run):
    for number, accuracy, loss in evaluations:
        append_evaluation(run, Evaluated(number, accuracy, loss, 8, "dev"))

    assert best_step(run, 3) == best


def test_a_torn_last_evaluation_is_left_out(run):
    append_evaluation(run, Evaluated(0, 0.5, 1.0, 8, "dev"))
    with open(run / "evaluations.jsonl", "a") as file:
        file.write('{"step": 2, "accur')

    assert [record.step for record in read_evaluations(run)] == [0]


def test_another_bundles_run_is_refused_by_eval(run, golden_bundle, dev_file):
    done = pocketllm(
        "eval", f"--bundle={golden_bundle.folder}", f"--data={dev_file}", f"--run={run}"
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the run belongs to bundle bbbbbbbbbbbb" in done.stderr
    assert golden_bundle.checksum[:12] in done.stderr


def test_a_full_disk_is_a_failure_that_keeps_the_steps_before(run):
    # /dev/full refuses every write as a full disk does.
    (run / "metrics.jsonl").rename(run / "kept")
    (run / "metrics.jsonl").symlink_to("/dev/full")

    with pytest.raises(RunError, match="No space left on device; the steps before are kept"):
        append_step(run, step(4), 0.5, Peak(1, 2))


def test_accuracies_on_different_dev_sets_are_not_compared(run):
    append_evaluation(run, Evaluated(1, 1.0, 0.1, 2, "small"))
    append_evaluation(run, Evaluated(2, 0.6, 0.7, 256, "large"))
    append_evaluation(run, Evaluated(3, 0.7, 0.6, 256, "large"))

    assert best_step(run, 3) == 3
    assert [record.step for record in read_evaluations(run, "small")] == [1]


def test_a_run_directory_is_one_process_at_a_time(tmp_path):
    folder = tmp_path / "run"
    with run_lock(folder):
        with pytest.raises(InputError, match="another process trains in it"), run_lock(folder):
            pass
        assert start_or_continue(folder, config()) == []  # the lock is no foreign file
    with run_lock(folder):
        pass
