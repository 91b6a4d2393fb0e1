"""`pocketllm torture power`: whatever a power failure leaves, a run opens and goes on."""

import os
import shutil
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from small_runs import adam_config, rows, write_tsv

from pocketllm.benchmarks.torture.disk import recording
from pocketllm.benchmarks.torture.power import Trial, fail_and_go_on, fast_folder, steady
from pocketllm.benchmarks.torture.power_loss import Disk
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.health.record import read_warnings
from pocketllm.runtime.host.files import write_json
from pocketllm.runtime.host.folders import staged
from pocketllm.runtime.host.partials import sweep_beside
from pocketllm.runtime.journal.lines import best_step, read_evaluations
from pocketllm.runtime.journal.reader import JOURNAL
from pocketllm.runtime.optim.adam import AdamSettings
from pocketllm.runtime.run.folder import read_run
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.parameters import load_parameters
from pocketllm.runtime.run.restore import point_of

pytest_plugins = ["runtime_fixtures", "adam_stand_in"]


@pytest.fixture
def work(tmp_path_factory):
    """An empty folder, in memory where that can be."""
    folder = tmp_path_factory.mktemp("power")
    if fast_folder() is None:
        yield folder
        return
    place = folder.__class__(fast_folder()) / f"power-{os.getpid()}"
    place.mkdir()
    yield place
    shutil.rmtree(place)


@pytest.fixture
def trial(golden_bundle, train_data, open_ready, tmp_path):
    """Steps of the committed bundle, with a small dev set."""
    dev = load_dataset(write_tsv(tmp_path / "dev.tsv", rows(3, seed=3)), golden_bundle)
    return Trial(open_ready(golden_bundle, "litert"), train_data, dev, steps=14)


def test_a_run_goes_on_to_the_same_bytes_after_each_of_1000_power_failures(trial, work):
    failures = fail_and_go_on(trial, work, schedules=1000, seed=0)

    assert failures.count == 1000 + failures.twice and failures.twice == 125
    assert failures.holes > 5 and failures.torn > 20, "what is tried is what happens"
    kinds = [{entry.kind for entry in read_warnings(work / f"whole-{n}" / "run")} for n in range(3)]
    assert "nothing-moves" in kinds[1] and "one-evaluation" in kinds[2]


@pytest.mark.parametrize(
    ("what", "stand_in"),
    [
        ("pocketllm.runtime.journal.reader.flushed_bytes", lambda *_: float("inf")),
        ("pocketllm.runtime.host.files.sync_folder", lambda folder: None),
    ],
)
def test_a_run_without_its_mark_or_without_flushed_names_is_found_out(what, stand_in, trial, work):
    with mock.patch(what, stand_in), pytest.raises(RunError, match="^schedule [0-9]+ of --seed=0"):
        fail_and_go_on(trial, work, schedules=300, seed=0)


def remains(recorded, folder, number):
    """Writes what one failure leaves of a recording; returns the event that it came after."""
    rng = np.random.default_rng(number)
    moment = int(rng.integers(recorded.begun, len(recorded.events) + 1))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    Disk(recorded.events[:moment]).write_remains(folder, rng)
    return moment


def write_files(folder, content):
    """Writes files as an export does, one of them in pieces, one in a folder of its own."""
    with open(folder / "model.tflite", "wb") as file:
        for piece in range(8):
            file.write(bytes([piece, content]) * 100)
    (folder / "bundle.json").write_bytes(bytes([content]) * 500)
    (folder / "more").mkdir()
    (folder / "more" / "tokenizer.json").write_bytes(bytes([content]) * 300)


def contents(folder):
    """Returns {name: bytes} of all files, None where there is no folder."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return files if folder.exists() else None


@pytest.mark.parametrize("replaces", [False, True])
def test_a_folder_is_the_old_or_the_new_one_whatever_a_power_failure_leaves(replaces, work):
    before, out = None, work / "there" / "out"
    out.parent.mkdir()
    if replaces:
        out.mkdir()
        write_files(out, 1)
        before = contents(out)
    with recording(out.parent) as recorded, staged(out) as beside:
        write_files(beside, 2)
    after, seen = contents(out), set()

    for number in range(400):
        moment = remains(recorded, work / "left", number)
        left = work / "left" / "out"
        sweep_beside(left)  # as the next command does
        assert contents(left) in (before, after), number
        assert contents(left) == after or moment < len(recorded.events)
        assert [path.name for path in left.parent.iterdir()] in ([], ["out"])
        seen.add(contents(left) == after)
    assert seen == {False, True}


def test_a_file_is_the_old_or_the_new_one_whatever_a_power_failure_leaves(work):
    path, values = work / "there" / "file.json", ({"old": "x" * 300}, {"new": "y" * 300})
    path.parent.mkdir()
    write_json(path, values[0])
    before = path.read_bytes()
    with recording(path.parent) as recorded:
        write_json(path, values[1])
    after = path.read_bytes()

    for number in range(400):
        moment = remains(recorded, work / "left", number)
        left = (work / "left" / "file.json").read_bytes()
        assert left in (before, after)
        assert left == after or moment < len(recorded.events)


def adam_settings(lr, steps):
    return AdamSettings(lr, 0.1, "constant", steps)


def test_a_run_with_gradients_goes_on_to_the_same_bytes_after_each_of_300_power_failures(
    ready, trial, work
):
    adam = replace(trial, model=ready(), settings=adam_settings)

    failures = fail_and_go_on(adam, work, schedules=300, seed=0)

    assert failures.count == 300 + failures.twice and failures.twice == 38
    assert failures.holes and failures.torn


def test_what_is_recorded_as_best_can_be_read_after_each_of_300_power_failures(
    ready, train_data, trial, work
):
    model, there = ready(), work / "there"
    config = adam_config(model.bundle, train_data)
    there.mkdir()
    with steady(), recording(there) as recorded:
        train(model, train_data, there / "run", config, trial.dev, eval_every=2)
    expected = {record.step: record for record in read_evaluations(there / "run")}
    kept_bests, seen = 0, set()

    for number in range(300):
        moment = remains(recorded, work / "left", number)
        run = work / "left" / "run"
        if not (run / JOURNAL).exists():
            continue
        count = read_run(run, model.bundle).count
        evaluations = read_evaluations(run)
        assert all(record == expected[record.step] for record in evaluations)
        assert count == 6 or moment < len(recorded.events)
        seen.add(count)
        best = best_step(run, count) if evaluations else 0
        assert point_of(run, model.bundle, best).step == best
        if best:
            load_parameters(model, run, best)
            kept_bests += 1
    assert kept_bests > 20 and {0, 6} < seen
