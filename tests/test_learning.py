"""The small models learn: MeZO through the signatures lifts held-out accuracy, on three seeds."""

import json
from statistics import mean

import pytest
from small_runs import pocketllm

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

LEAST_GAIN_POINTS = 10
# What training less may cost, in as many steps, each of two forward passes of a batch.
MOST_LOST_POINTS = 3


def gains(folder, *flags):
    """Returns the points that each of three seeds gains in 600 steps."""
    result = folder / "quickstart.json"
    done = pocketllm(
        "quickstart", *flags, f"--workdir={folder / 'work'}", "--seeds=0,1,2",
        f"--json={result}", timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(*flags, *done.stdout.splitlines()[-9:-3], sep="\n")
    found = json.loads(result.read_text())
    assert found["before"]["examples"] == 872 and len(found["gain_points"]) == 3
    return found["gain_points"]


@pytest.fixture(scope="module")
def full_gains(tmp_path_factory):
    """Those of all of roberta-micro's parameters."""
    return gains(tmp_path_factory.mktemp("full"))


def test_held_out_accuracy_of_sst2_rises_by_ten_points_with_roberta(full_gains):
    assert min(full_gains) >= LEAST_GAIN_POINTS


def test_held_out_accuracy_of_sst2_rises_by_ten_points_with_opt(tmp_path):
    assert min(gains(tmp_path, "--model=opt-micro")) >= LEAST_GAIN_POINTS


@pytest.mark.parametrize("base", ["fp32", "int8"])
@pytest.mark.parametrize("tune", ["lora", "prefix"])
def test_lora_and_a_prefix_gain_what_all_parameters_do_within_three_points(
    tune, base, full_gains, tmp_path
):
    tuned = gains(tmp_path, f"--tune={tune}", f"--base={base}")

    assert mean(tuned) >= mean(full_gains) - MOST_LOST_POINTS
