"""Runs with gradients that kills break off: none loses a step or ends differently."""

import pytest
from small_runs import rows, write_tsv

from pocketllm.benchmarks.torture.killed import PHASES
from pocketllm.benchmarks.torture.kills import kill_and_resume, training

pytestmark = pytest.mark.desktop

KILLS, STEPS = 25, 60
# name: (settings of the export, flags of the run)
RUNS = {
    "adam on all": (
        {"lengths": (16, 32), "slice_bytes": 8192},
        {"optimizer": "adam", "batch_size": 2, "warmup_steps": 7},
    ),
    "adam on int8": (
        {"lengths": (16,), "kind": "lora", "base": "int8"},
        {
            "optimizer": "adam",
            "batch_size": 5,
            "clip_norm": 0.5,
            "lr_schedule": "cosine",
            "threads": 2,
        },
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_killed_in_each_phase_and_resumed_a_run_ends_as_if_never_touched(
    name, make_checkpoint, make_bundle, tmp_path
):
    settings, flags = RUNS[name]
    bundle = make_bundle(make_checkpoint(), adam=True, **settings)
    train, dev = (write_tsv(tmp_path / f"{n}.tsv", rows(17, n)) for n in (1, 2))
    values = {"recovery_seconds": 1e9} | flags
    command = training(bundle.folder, train, dev, STEPS, **values)

    done = kill_and_resume(command, tmp_path, KILLS, seed=0, snapshot_steps=15)

    assert done.count == KILLS
    assert set(done.phases) == set(PHASES), "all phases are hit"
    assert len(done.steps) > 5 and max(done.tails) > 5, "there are steps to take again"
    assert done.partial_files
