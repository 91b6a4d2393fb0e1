"""Kills, stops and the other program: a run goes on to the bytes of one that nothing disturbed."""

import random
import shutil
import signal
import subprocess
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from native_program import PROGRAM, files_of, flags_of, native
from small_runs import pocketllm, state_of
from waiting import wait_until

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.run.parameters import (
    CHECKSUM,
    checksum_of,
    drop_parameters,
    kept_steps,
    load_parameters,
    save_parameters,
)
from pocketllm.runtime.run.replay import replay

KILLS = 25
SETTINGS = {
    "mezo": {"lr": 1e-2, "weight_decay": 0.1},
    "fzoo": {"lr": 1e-2, "optimizer": "fzoo", "directions": 3},
}


@pytest.fixture(params=SETTINGS)
def takes(request, small):
    """Returns a function that does steps of a run in one of the programs."""
    settings = {"eps": 1e-2, "batch_size": 5, "threads": 1, "eval_every": 5, "recovery_seconds": 0}
    settings |= SETTINGS[request.param]

    def take(program, run, steps):
        common = flags_of(bundle=small / "bundle", run=run, steps=steps, **settings)
        if program == "python":
            data = flags_of(train=small / "train.tsv", dev=small / "dev.tsv")
            done = pocketllm("train", *common, *data)
        else:
            done = native(*common, *flags_of(encoded=small / "train.rows", dev=small / "dev.rows"))
        assert done.returncode == 0, done.stderr
        return done.stdout

    return take


@pytest.mark.parametrize("first", ["python", "native"])
def test_a_run_is_continued_by_the_other_program(first, takes, tmp_path):
    second = {"python": "native", "native": "python"}[first]
    for steps in (6, 11, 15):
        takes("python", tmp_path / "whole", steps)

    takes(first, tmp_path / "run", 6)
    shown = takes(second, tmp_path / "run", 11) + takes(first, tmp_path / "run", 15)

    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")
    assert "passed over" not in shown


def test_snapshots_hold_what_the_steps_of_the_journal_lead_to(takes, open_ready, small, tmp_path):
    run = tmp_path / "run"
    takes("native", run, 8)
    model = open_ready(read_bundle(small / "bundle"), "litert")
    journal, kept = read_journal(run / "journal"), kept_steps(run)
    assert kept and len(kept) <= 2
    for step in kept:
        model.initialize()
        replay(model, journal.steps[:step])
        expected = state_of(model)

        load_parameters(model, run, step)

        assert state_of(model) == expected
        assert checksum_of(run, step) == journal.checksums[step]
        assert zipfile.ZipFile(run / f"parameters-{step}.npz").testzip() is None
        assert set(np.load(run / f"parameters-{step}.npz").files) == {*expected, CHECKSUM}


def test_a_snapshot_of_python_is_where_a_run_goes_on_from(takes, open_ready, small, tmp_path):
    run, model = tmp_path / "run", open_ready(read_bundle(small / "bundle"), "litert")
    takes("native", run, 4)
    drop_parameters(run, but=())
    takes("native", shutil.copytree(run, tmp_path / "sound"), 6)
    # Other parameters than the journal's: whoever reads them takes other steps.
    save_parameters(model, run, 4, read_journal(run / "journal").checksums[4])

    takes("native", run, 6)

    assert files_of(run)["journal"] != files_of(tmp_path / "sound")["journal"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_snapshot_is_passed_over(damage, takes, tmp_path):
    run = tmp_path / "run"
    takes("native", run, 8)
    kept = kept_steps(run)
    takes("native", shutil.copytree(run, tmp_path / "whole"), 10)
    newest = run / f"parameters-{kept[-1]}.npz"
    data = bytearray(newest.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
    else:
        newest = newest.rename(
            run / "parameters-8.npz" if kept[-1] < 8 else run / "parameters-7.npz"
        )
    newest.write_bytes(data)

    shown = takes("native", run, 10)

    assert "passed over" in shown
    assert files_of(run) == files_of(tmp_path / "whole")


def test_a_run_that_is_killed_at_any_moment_goes_on(small, tmp_path):
    steps, moments = 300, random.Random(5)
    settings = flags_of(
        bundle=small / "bundle", encoded=small / "train.rows", dev=small / "dev.rows", lr=1e-2,
        steps=steps, eps=1e-2, batch_size=5, threads=1, eval_every=7, recovery_seconds=0,
    )  # fmt: skip
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert native(*settings, f"--run={whole}").returncode == 0
    command = [PROGRAM, *settings, f"--run={run}"]

    reached = set()
    for kill in range(KILLS):
        before = size_of(run / "journal")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if kill % 5:  # the others are killed while they start
            wait_until(
                lambda p=process, b=before: p.poll() is not None or size_of(run / "journal") > b,
                "a step",
            )
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, 0.03))
        process.kill()
        process.communicate()
        reached.add(size_of(run / "journal"))
    done = native(*settings, f"--run={run}")

    assert done.returncode == 0, done.stderr
    assert files_of(run) == files_of(whole)
    assert len(reached) > 5
    assert not [path.name for path in run.iterdir() if ".partial-" in path.name]


def size_of(path):
    """Returns a file's bytes, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def test_a_signal_ends_a_run_behind_the_step_under_way(small, tmp_path):
    run = tmp_path / "run"
    settings = flags_of(
        bundle=small / "bundle", encoded=small / "train.rows", lr=1e-2, threads=1, run=run
    )
    process = subprocess.Popen(
        [PROGRAM, *settings, "--steps=100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until(lambda: size_of(run / "journal") > 2000, "some steps")

    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)

    assert process.returncode == 0 and errors == b""
    assert b"; the same command goes on from there" in output
    assert not (run / "flushed").exists()
