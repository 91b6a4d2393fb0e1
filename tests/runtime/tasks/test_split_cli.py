"""`train --split` and `eval --sample` through the command line, on the committed bundle."""

import json

import pytest
from small_runs import complaint, pocketllm

pytest_plugins = ["runtime_fixtures"]


@pytest.fixture
def train(golden_bundle, train_file, tmp_path):
    """Runs `pocketllm train` on 14 examples, with more flags."""

    def run(*flags, run="run", steps=2):
        return pocketllm(
            "train", f"--bundle={golden_bundle.folder}", f"--train={train_file}", "--threads=1",
            "--batch_size=4", f"--run={tmp_path / run}", f"--steps={steps}",
            f"--json={tmp_path / 'result.json'}", *flags,
        )  # fmt: skip

    return run


def config(tmp_path, run="run"):
    return json.loads((tmp_path / run / "config.json").read_text())


def test_a_split_trains_on_one_part_and_chooses_by_the_other(train, train_file, tmp_path):
    done = train("--split=8/4")

    assert done.returncode == 0, done.stderr
    assert f"{train_file}: 8 examples of 14, to train on\n" in done.stdout
    assert f"{train_file}: 4 examples of 14, to choose the best step by\n" in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["examples"], result["dev_examples"]) == (8, 4)
    assert config(tmp_path)["split"] == "8/4"
    evaluations = (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["examples"] for line in evaluations] == [4, 4]


def test_a_run_goes_on_with_its_own_split_only(train, tmp_path):
    assert train("--split=8/4").returncode == 0
    assert train(run="plain").returncode == 0
    assert "split" not in config(tmp_path, "plain")  # as before there were splits

    complaint(train("--split=7/4", steps=3), 2, "(split '8/4' -> '7/4')")
    complaint(train(steps=3), 2, "(split '8/4' -> None)")
    complaint(train("--split=8/4", run="plain", steps=3), 2, "(split None -> '8/4')")
    assert train("--split=8/4", steps=3).returncode == 0
    assert train(run="plain", steps=3).returncode == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split=reference"], "--split=reference: the reference draws no such split"),
        (["--split=8"], "--split=8: expected reference, or training and dev examples"),
        (["--split=8/4", "--dev=x.tsv"], "--split and --dev both name the dev set"),
        (["--split=8/14"], "found 14 examples, expected more than the 14 that --split=8/14 keeps"),
    ],
)
def test_a_split_that_cannot_be_is_refused(flags, message, train, tmp_path):
    complaint(train(*flags), 2, message)
    assert not (tmp_path / "run").exists()


def test_an_evaluation_may_draw_a_sample(golden_bundle, dev_file, tmp_path):
    def evaluate(*flags):
        done = pocketllm(
            "eval", f"--bundle={golden_bundle.folder}", f"--data={dev_file}", "--threads=1",
            f"--json={tmp_path / 'result.json'}", *flags,
        )  # fmt: skip
        return done, json.loads((tmp_path / "result.json").read_text())

    drawn, result = evaluate("--sample=5")
    _, whole = evaluate()
    _, larger = evaluate("--sample=1000")

    assert f"{dev_file}: 5 examples drawn from 17\n" in drawn.stdout
    assert (result["examples"], whole["examples"], larger["examples"]) == (5, 17, 17)
    assert (larger["accuracy"], larger["loss"]) == (whole["accuracy"], whole["loss"])
    assert whole["metrics"] == {}
    complaint(evaluate("--sample=-1")[0], 2, "--sample=-1: expected 0 or more")
