"""`pocketllm bench --meters`: its tables, its result, and what it refuses."""

import json
import math

import pytest
from small_runs import complaint, pocketllm

from pocketllm.benchmarks.bench.meters import meters_table, shares_of
from pocketllm.runtime.meters.blocks import blocks_of
from pocketllm.runtime.meters.estimates import Estimate
from pocketllm.runtime.meters.figures import Meters

pytest_plugins = ["runtime_fixtures"]
ESTIMATES = (
    "gradient_norm", "noise_scale", "trace", "progress", "curvature_norm", "one_sided_error"
)  # fmt: skip


@pytest.fixture
def command(golden_bundle, train_file):
    """Runs `pocketllm bench --meters` on the committed bundle: (flags) -> the process."""

    def run(*flags):
        common = ("--meters", f"--bundle={golden_bundle.folder}", f"--train={train_file}")
        return pocketllm("bench", *common, "--threads=1", *flags)

    return run


def test_a_bundle_is_measured_and_the_result_holds_every_figure(command, golden_bundle, tmp_path):
    path = tmp_path / "result.json"
    done = command("--rows=14", "--probes=5", f"--json={path}")

    assert done.returncode == 0, done.stderr
    result = json.loads(path.read_text())
    blocks = blocks_of(golden_bundle)
    assert [block["name"] for block in result["blocks"]] == [block.name for block in blocks]
    assert (result["rows"], result["probes"], result["eps"]) == (14, 5, golden_bundle.default_eps)
    assert result["forwards"] == 5 * (2 * 5 + 1) * (1 + len(blocks))  # five batches of three rows
    for figures in (result, *result["blocks"]):
        for name in ESTIMATES:
            estimate = figures[name]
            low, high = estimate["low"], estimate["high"]
            assert low is None or high is None or low <= estimate["value"] <= high, name
    for text in ("gradient norm", "noise scale, rows", "one-sided error ratio", "layer 0"):
        assert text in done.stdout


def test_blocks_can_have_several_layers(golden_bundle):
    variables = [block.variables for block in blocks_of(golden_bundle, layers=2)]

    assert "layers 0 to 1" in [block.name for block in blocks_of(golden_bundle, layers=2)]
    assert sum(map(len, variables)) == len(golden_bundle.variables)


def test_the_same_seed_measures_the_same(command, tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        flags = ("--rows=9", "--probes=3", "--noblocks", f"--json={path}")
        assert command(*flags).returncode == 0
    first, second = (json.loads(path.read_text()) for path in paths)

    assert first == second and first["blocks"] == []


@pytest.mark.parametrize(
    ("flags", "texts"),
    [
        ([], ("14 examples, expected the 64 that are measured", "a smaller --rows, 8 at least")),
        (["--rows=7"], ("--rows=7", "8")),
        (["--probes=2"], ("--probes=2", "3")),
        (["--rows=14", "--steps=3"], ("--steps is no part of --meters",)),
        (["--rows=14", "--model=opt-micro"], ("--model is no part of --meters",)),
        (["--rows=14", "--train=none.tsv"], ("none.tsv",)),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_refused_in_one_line(flags, texts, command):
    complaint(command(*flags), 2, *texts)


def test_flags_of_the_meters_are_refused_elsewhere():
    complaint(pocketllm("bench", "--signal", "--probes=3"), 2, "--probes goes with --meters")


def figures(gain: float) -> Meters:
    exact = Estimate(gain, gain / 2, 2 * gain)
    return Meters(
        4, 8, 1, 0.1, 0.5, exact, exact, exact, exact, exact, exact, 1.0, 1.0, 1.0
    )  # fmt: skip


def test_a_blocks_share_is_over_the_mean_of_the_blocks(golden_bundle):
    blocks = blocks_of(golden_bundle)[:3]
    shares = shares_of(blocks, [figures(gain) for gain in (1.0, 2.0, 6.0)])
    whole = {"model": "m", "tune": "full", "base": "fp32", **figures(1.0).summary()}
    table = meters_table(whole | {"blocks": shares})

    assert [block["share"] for block in shares] == pytest.approx([1 / 3, 2 / 3, 2])
    assert "0.333  0.167 to 0.667" in table and "2  1 to 4" in table
    values = sum(math.prod(variable.shape) for variable in golden_bundle.variables)
    assert sum(block["parameters"] for block in shares) <= values


def test_what_is_not_known_is_an_infinity_in_the_table(golden_bundle):
    unknown = Estimate(math.inf, 3.0, math.inf)
    exact = Estimate(1.0, 0.5, 2.0)
    meters = Meters(
        4, 8, 1, 0.1, 0.5, exact, unknown, exact, exact, exact, unknown, 1.0, 1.0, 1.0
    )  # fmt: skip
    whole = {"model": "m", "tune": "full", "base": "fp32", **meters.summary(), "blocks": []}

    assert "∞  (3 to ∞)" in meters_table(whole)
    json.dumps(whole, allow_nan=False)
