"""The small models learn: MeZO through the signatures lifts held-out accuracy, on three seeds."""

import json

import pytest
from small_runs import pocketllm

LEAST_GAIN_POINTS = 10


@pytest.mark.desktop
@pytest.mark.slow
@pytest.mark.parametrize("model", ["roberta-micro", "opt-micro"])
def test_held_out_accuracy_of_sst2_rises_by_ten_points(model, tmp_path):
    result = tmp_path / "quickstart.json"

    done = pocketllm(
        "quickstart", f"--model={model}", f"--workdir={tmp_path / 'work'}", "--seeds=0,1,2",
        f"--json={result}", timeout=900,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    found = json.loads(result.read_text())
    print(*done.stdout.splitlines()[-9:-3], sep="\n")
    assert found["before"]["examples"] == 872 and len(found["gain_points"]) == 3
    assert min(found["gain_points"]) >= LEAST_GAIN_POINTS
