"""Arms of `pocketllm bench --race` in PyTorch, arms with flags of their own, and --budget."""

import json

import pytest
from small_runs import pocketllm

from pocketllm.benchmarks.bench.race.report import forwards_to, mezo_loss

pytestmark = pytest.mark.desktop


@pytest.fixture(scope="module")
def race_flags(make_checkpoint, tmp_path_factory):
    """Flags of a race on a tiny model whose base is fp32 on both sides; --out is its folder."""
    out = tmp_path_factory.mktemp("race-arms") / "out"
    model = make_checkpoint(max_position_embeddings=70)
    return [f"--model={model}", f"--out={out}", "--forwards=6", "--seeds=0", "--base=fp32"], out


def run(flags, *more):
    """Runs a race; returns (its report, what it printed)."""
    done = pocketllm("bench", "--race", *flags, *more, timeout=900)
    assert done.returncode == 0, done.stderr
    out = next(flag.removeprefix("--out=") for flag in flags if flag.startswith("--out="))
    with open(f"{out}/report.json") as file:
        return json.load(file), done.stdout + done.stderr


def test_pytorch_starts_where_we_do_and_takes_the_same_first_step(race_flags, end_search):
    flags, out = race_flags
    run(flags, "--arms=adam", "--budget=1e-9")  # exports
    for arm in ("adam", "pytorch-adam"):
        end_search(out, arm)

    report, _ = run(flags, "--arms=adam,pytorch-adam")

    ours, theirs = report["arms"]
    assert (ours["arm"], theirs["arm"]) == ("adam", "pytorch-adam")
    curves = [arm["trials"][0]["curve"] for arm in report["arms"]]
    assert [[point["step"] for point in curve] for curve in curves] == [[0, 1, 2]] * 2
    # The same weights, rows and LoRA: float32 on both sides, summed in another order.
    for mine, other in zip(*curves):
        assert other["loss"] == pytest.approx(mine["loss"], abs=2e-5)
        assert other["accuracy"] == pytest.approx(mine["accuracy"], abs=0.002)
    assert curves[0][2]["loss"] != curves[0][0]["loss"]
    assert theirs["trials"][0]["held_out"]["examples"] == 872
    assert theirs["held_out_loss"] == pytest.approx(ours["held_out_loss"], abs=1e-4)
    assert not (out / "pytorch.json").exists()
    for arm in report["arms"]:
        assert set(arm["seconds_to"]) == {"0.8", "0.84"}


def test_without_time_no_run_begins_and_the_same_command_with_more_goes_on(race_flags, end_search):
    flags, out = race_flags
    run(flags, "--arms=adam", "--budget=1e-9")
    end_search(out, "adam")
    end_search(out, "mezo-normalised")
    run(flags, "--arms=adam")

    report, output = run(flags, "--arms=adam,mezo-normalised", "--budget=1e-9")

    assert [arm["arm"] for arm in report["arms"]] == ["adam"], "its runs have ended"
    assert "mezo-normalised is left out" in output

    report, _ = run(flags, "--arms=adam,mezo-normalised")

    assert [arm["arm"] for arm in report["arms"]] == ["adam", "mezo-normalised"]
    config = json.loads((out / "runs" / "mezo-normalised-0.001-seed0" / "config.json").read_text())
    assert config["normalize"] is True and config["optimizer"] == "mezo"


def test_forward_passes_are_counted_to_the_loss_that_mezo_ended_with():
    mezo = {"arm": "mezo", "mean_curve": [{"step": s, "loss": 1.0 - s / 100} for s in (0, 20, 40)]}
    fzoo = {"arm": "fzoo", "mean_curve": [{"step": s, "loss": 1.0 - s / 10} for s in (0, 3, 6)]}

    goal = mezo_loss([fzoo, mezo])

    assert goal == 0.6
    assert forwards_to(goal, mezo) == 80 and forwards_to(goal, fzoo) == 48
    assert forwards_to(0.1, fzoo) is None
    assert mezo_loss([fzoo]) is None and mezo_loss([{"arm": "mezo", "mean_curve": []}]) is None
