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
    found = soak(*places, tmp_path / "run", STEPS, window=STEPS // 2, lr=1e-3)

    assert found.compared == (*kept_steps(tmp_path / "run"), STEPS) and len(found.compared) == 3
    assert abs(found.growth) < 0.2 and found.first_bytes > 1e7  # 50 ms a sample: too few for 1%
    assert 0 < found.highest_loss < 100

    step = found.compared[0]
    path = tmp_path / "run" / f"parameters-{step}.npz"
    with np.load(path) as held:
        values = dict(held)
    name = golden_bundle.variables[0].name
    values[name] = np.nextafter(values[name], np.float32(9))
    np.savez(path, **values)
    with pytest.raises(RunError, match=f"parameters-{step}.npz: replay comes to other .*{name}"):
        module._replayed(golden_bundle.folder, dev_file, tmp_path / "run")
