"""The soak itself, short: what it compares, and that it does not pass what differs."""

import numpy as np
import pytest

from pocketllm.benchmarks.torture import soak as module
from pocketllm.benchmarks.torture.soak import Soaked, soak
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.run.parameters import kept_steps

pytest_plugins = ["runtime_fixtures"]

STEPS = 500


def test_a_run_is_replayed_to_its_snapshots_and_its_last_evaluation(
    golden_bundle, train_file, dev_file, tmp_path
):
    places = golden_bundle.folder, train_file, dev_file
    soaked = soak(*places, tmp_path / "run", steps=STEPS, window=STEPS // 8, lr=1e-3)

    assert soaked.compared == (*kept_steps(tmp_path / "run"), STEPS) and len(soaked.compared) == 3
    # How many samples fall into so short a run depends on the machine; the command asks for some.
    assert abs(soaked.growth) < 0.2
    assert len(soaked.first_bytes) == len(soaked.last_bytes) == 2
    assert all(size == 0 or size > 1e7 for size in (*soaked.first_bytes, *soaked.last_bytes))
    assert 0 < soaked.highest_loss < 100

    step = soaked.compared[0]
    path = tmp_path / "run" / f"parameters-{step}.npz"
    with np.load(path) as snapshot:
        values = dict(snapshot)
    name = golden_bundle.variables[0].name
    values[name] = np.nextafter(values[name], np.float32(9))
    np.savez(path, **values)
    with pytest.raises(RunError, match=f"parameters-{step}.npz: replay comes to other .*{name}"):
        module._replayed(golden_bundle.folder, dev_file, tmp_path / "run")


def test_growth_is_that_of_windows_with_samples_and_the_command_asks_for_some(
    golden_bundle, train_file, dev_file, monkeypatch
):
    assert Soaked((100, 100), (101, 130), 1, 1.0, ()).growth == pytest.approx(0.3)
    assert Soaked((100, 0), (101, 130), 0, 1.0, ()).growth == pytest.approx(0.01)
    arguments = ["soak", f"--bundle={golden_bundle.folder}"]
    module.FLAGS([*arguments, f"--train={train_file}", f"--dev={dev_file}"])
    for soaked, problem in (
        (Soaked((100, 0), (101, 0), 0, 1.0, (5,)), "between two samples"),
        (Soaked((100, 100), (101, 102), 1, 1.0, (5,)), "grew by more than 1%"),
    ):
        monkeypatch.setattr(module, "soak", lambda *_, soaked=soaked, **settings: soaked)
        with pytest.raises(RunError, match=problem):
            module.run(module.FLAGS)
