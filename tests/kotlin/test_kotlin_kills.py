"""A run of docs/kotlin.md's code that was killed goes on to the same bytes; bad files are said."""

import math
import random
import time

import kotlin_page
import numpy as np
import pytest
from kotlin_rows import training_rows, write_rows

from pocketllm.runtime.data.batches import Row
from pocketllm.runtime.data.encoded import Encoded
from pocketllm.runtime.journal.reader import read_journal

pytestmark = pytest.mark.desktop
STEPS = 20
JOURNAL, STATE = "journal", "state"
RECORD = 72


@pytest.fixture(scope="module")
def app(kotlin, micro, train_tsv, tmp_path_factory):
    """Runs the app in a folder: (folder, command that runs it, changes of its plan) -> Answer."""
    bundle, shared = micro("lora"), tmp_path_factory.mktemp("shared")
    rows = training_rows(train_tsv, bundle)
    plan = {
        "bundle": bundle.folder, "packed": shared, "rows": write_rows(shared / "rows", rows),
        "lr": 1e-3, "batch_size": 3, "steps": STEPS, "saved_every": 4,
    }  # fmt: skip

    def start(folder, before=(), **changes):
        folder.mkdir(exist_ok=True)
        values = {**plan, "run": folder, "out": folder / "out", **changes}
        return kotlin.start(kotlin_page.write_plan(folder, "train", **values), before)

    return start


@pytest.fixture(scope="module")
def unbroken(app, tmp_path_factory):
    """What the run leaves that nothing stopped."""
    folder = tmp_path_factory.mktemp("unbroken")
    result = kotlin_page.answer(app(folder))
    assert result.code == 0, result.errors
    return folder


def left(folder):
    """Returns the bytes of all that a run leaves."""
    return {name: (folder / name).read_bytes() for name in (JOURNAL, STATE, "out")}


def steps_of(folder):
    """Returns how many steps a killed run has."""
    return len(read_journal(folder / JOURNAL).steps)


def goes_on(app, folder, unbroken, at):
    """Asserts that a run goes on behind step `at`, and to the same end."""
    result = kotlin_page.answer(app(folder))
    assert result.code == 0, result.errors
    assert result.values("at") == [at]
    assert left(folder) == left(unbroken)


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_run_that_ends_behind_a_step_goes_on(step, app, unbroken, tmp_path):
    result = kotlin_page.answer(app(tmp_path, halt_behind=step))

    assert result.code == 137 and len(result.values("step")) == step
    assert (tmp_path / STATE).exists() == (step >= 4)
    goes_on(app, tmp_path, unbroken, at=step)


def test_a_run_goes_on_after_kills_at_any_moment(app, unbroken, tmp_path):
    drawn = random.Random(7)
    for _ in range(5):
        process = app(tmp_path)
        for _ in range(drawn.randrange(4)):  # the step that it goes on from, and some more
            process.stdout.readline()
        time.sleep(drawn.random() * 0.02)
        process.kill()
        assert "Exception" not in kotlin_page.answer(process).errors
    at = steps_of(tmp_path)

    assert at > 0
    goes_on(app, tmp_path, unbroken, at)


def test_what_is_unfinished_or_damaged_beside_sound_records_is_passed_over(app, unbroken, tmp_path):
    kotlin_page.answer(app(tmp_path, halt_behind=6))
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b"\x07" * 50)  # of a record that was not finished
    state = bytearray((tmp_path / STATE).read_bytes())
    state[-100] ^= 1
    (tmp_path / STATE).write_bytes(state)
    (tmp_path / f"{STATE}.new").write_bytes(b"unfinished")

    goes_on(app, tmp_path, unbroken, at=6)


def test_a_state_of_another_run_is_passed_over(app, unbroken, tmp_path):
    other, folder = tmp_path / "other", tmp_path / "run"
    kotlin_page.answer(app(other, halt_behind=4, seed=3))
    kotlin_page.answer(app(folder, halt_behind=5))
    (folder / STATE).write_bytes((other / STATE).read_bytes())

    goes_on(app, folder, unbroken, at=5)


def test_a_damaged_journal_and_another_runs_settings_are_refused(app, unbroken, tmp_path):
    records = (unbroken / JOURNAL).read_bytes()
    damaged = bytearray(records)
    damaged[-2 * RECORD - 10] ^= 1
    cases = {
        f"record {STEPS - 2} is damaged": (bytes(damaged), {}),
        "a run with lr 0.001, not 0.002": (records, {"lr": 2e-3}),
        "the header is damaged": (records[:20] + b"\0" + records[21:], {}),
        "no journal": (b"PLLMJRN9" + records[8:], {}),
    }
    for number, (message, (data, changes)) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / JOURNAL).write_bytes(data)
        result = kotlin_page.answer(app(folder, **changes))

        assert result.code == 1
        assert f"BadFileException: {folder / JOURNAL}: {message}; take" in result.errors
        assert (folder / JOURNAL).read_bytes() == data


def test_a_loss_that_is_not_finite_ends_the_run_which_goes_on_as_if_it_had_not_been(
    app, unbroken, tmp_path
):
    lost = [Row((Encoded(np.arange(4, 9), {"mask_position": 2}, False),), 0, math.nan)]
    kotlin_page.answer(app(tmp_path, halt_behind=6))
    result = kotlin_page.answer(app(tmp_path, rows=write_rows(tmp_path / "lost", lost)))

    assert result.code == 1
    assert "LossException: step 7: the loss is not finite: NaN, NaN" in result.errors
    goes_on(app, tmp_path, unbroken, at=6)


def test_a_full_disk_is_said_and_the_run_goes_on_once_there_is_space(app, unbroken, tmp_path):
    header = len((unbroken / JOURNAL).read_bytes()) - STEPS * RECORD
    space = header + 3 * RECORD + 40
    result = kotlin_page.answer(app(tmp_path, before=("prlimit", f"--fsize={space}")))

    assert result.code == 1
    assert f"IOException: {tmp_path / JOURNAL}: cannot be written: " in result.errors
    assert len(result.values("step")) == 3
    goes_on(app, tmp_path, unbroken, at=3)


def test_a_state_that_cannot_be_written_leaves_the_old_one(app, unbroken, tmp_path):
    kotlin_page.answer(app(tmp_path, halt_behind=5))
    before = (tmp_path / STATE).read_bytes()
    space = len(before) - 1
    assert space > len((unbroken / JOURNAL).read_bytes())

    result = kotlin_page.answer(app(tmp_path, before=("prlimit", f"--fsize={space}")))

    assert result.code == 1
    assert f"IOException: {tmp_path / STATE}: cannot be written: " in result.errors
    assert (tmp_path / STATE).read_bytes() == before
    assert not (tmp_path / f"{STATE}.new").exists()
    goes_on(app, tmp_path, unbroken, at=8)


def test_a_second_process_is_kept_out(app, tmp_path):
    first = app(tmp_path, steps=10**6)
    first.stdout.readline()
    second = kotlin_page.answer(app(tmp_path))
    first.kill()
    kotlin_page.answer(first)

    assert second.code == 1
    assert f"{tmp_path / JOURNAL}: another process goes on with this run" in second.errors
