"""The small models learn: MeZO through the signatures lifts held-out accuracy, on three seeds."""

import json
from statistics import mean

import pytest
from small_runs import pocketllm

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

LEAST_GAIN_POINTS = 10
# What training less may cost, in as many steps, each of two forward passes of a batch.
MOST_LOST_POINTS = 3


def quickstart(folder, *flags):
    """Returns the result of 600 steps with each of three seeds."""
    result = folder / "quickstart.json"
    done = pocketllm(
        "quickstart", *flags, f"--workdir={folder / 'work'}", "--seeds=0,1,2",
        f"--json={result}", timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(*flags, *done.stdout.splitlines()[-9:-3], sep="\n")
    summary = json.loads(result.read_text())
    assert summary["before"]["examples"] == 872 and len(summary["gain_points"]) == 3
    return summary


def reached(result):
    """Returns the mean accuracy after training, in percent."""
    return 100 * mean(after["accuracy"] for after in result["after"].values())


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """What comes of training all of roberta-micro's parameters."""
    return quickstart(tmp_path_factory.mktemp("full"))


def test_held_out_accuracy_of_sst2_rises_by_ten_points_with_roberta(full):
    assert min(full["gain_points"]) >= LEAST_GAIN_POINTS


def test_held_out_accuracy_of_sst2_rises_by_ten_points_with_opt(tmp_path):
    assert min(quickstart(tmp_path, "--model=opt-micro")["gain_points"]) >= LEAST_GAIN_POINTS


@pytest.mark.parametrize("base", ["fp32", "int8"])
@pytest.mark.parametrize("tune", ["lora", "prefix"])
def test_lora_and_a_prefix_gain_what_all_parameters_do_within_three_points(
    tune, base, full, tmp_path
):
    """Over the same model: what a bundle starts with is its own, a random prefix adds 5 points."""
    tuned = quickstart(tmp_path, f"--tune={tune}", f"--base={base}")

    assert reached(tuned) >= reached(full) - MOST_LOST_POINTS
