"""The soak itself, short: what it compares, and that it does not pass what differs."""

import numpy as np
import pytest

from pocketllm.benchmarks.torture import soak as module
from pocketllm.benchmarks.torture.soak import soak
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.run.parameters import kept_steps

pytest_plugins = ["runtime_fixtures"]

STEPS = 500


def test_a_run_is_replayed_to_its_snapshots_and_its_last_evaluation(
    golden_bundle, train_file, dev_file, tmp_path, monkeypatch
):
    places = golden_bundle.folder, train_file, dev_file
    soaked = soak(*places, tmp_path / "run", steps=STEPS, window=STEPS // 8, lr=1e-3)

    assert soaked.compared == (*kept_steps(tmp_path / "run"), STEPS) and len(soaked.compared) == 3
    assert abs(soaked.growth) < 0.2  # 50 ms a sample: too few for the 1% of the command
    assert len(soaked.first_bytes) == 2 and min(soaked.first_bytes) > 1e7
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
