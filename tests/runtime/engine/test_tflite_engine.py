"""roberta-micro through the command line, exported once and fine-tuned in each engine."""

import json

import pytest
from small_runs import pocketllm

from pocketllm.tflite_models.presets import MICRO

ENGINE_NAMES = {"litert": "litert (ai-edge-litert ", "tflite": "tflite (tflite-runtime 2.14"}


@pytest.fixture(scope="module")
def micro(tmp_path_factory):
    """The bundled checkpoint, exported by the command."""
    out = tmp_path_factory.mktemp("micro") / "bundle"
    done = pocketllm(
        "export", "--model=roberta-micro", "--task=sst2", "--batch_size=8", "--lengths=16,32",
        f"--out={out}", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def result(folder, *arguments):
    """Runs a command; returns its JSON."""
    out = folder / "result.json"
    done = pocketllm(*arguments, f"--json={out}", timeout=300)
    assert done.returncode == 0, done.stderr
    # On a slow machine there are lines of progress.
    assert "INFO" not in done.stderr and "WARNING" not in done.stderr
    return json.loads(out.read_text())


@pytest.mark.desktop
def test_it_trains_and_evaluates_and_gets_better(engine, micro, tmp_path):
    run, bundle = tmp_path / "run", f"--bundle={micro}"
    data = f"--data={MICRO / 'sst2_heldout.tsv'}"
    before = result(tmp_path, "eval", bundle, data, f"--engine={engine}")

    trained = result(
        tmp_path, "train", bundle, f"--train={MICRO / 'sst2_train.tsv'}", f"--run={run}",
        f"--dev={MICRO / 'sst2_dev.tsv'}", "--steps=30", "--batch_size=64", "--lr=3e-4",
        "--eval_every=15", f"--engine={engine}",
    )  # fmt: skip
    after = result(
        tmp_path, "eval", bundle, data, f"--engine={engine}", f"--run={run}", "--at_step=30"
    )

    for evaluation in (before, trained, after):
        assert evaluation["engine"].startswith(ENGINE_NAMES[engine])
    assert (before["step"], trained["last_step"], after["step"]) == (0, 30, 30)
    assert before["examples"] == after["examples"] == 872
    print(f"{engine}: held-out loss {before['loss']:.4f} -> {after['loss']:.4f}, accuracy "
          f"{before['accuracy']:.4f} -> {after['accuracy']:.4f}")  # fmt: skip
    assert after["loss"] < before["loss"] - 0.01
    assert after["accuracy"] > 0.5


@pytest.mark.desktop
def test_a_run_of_one_engine_is_evaluated_in_the_other(engine, micro, tmp_path):
    """A phone trains in one engine; the desktop replays in the other, to the same figures."""
    run, bundle = tmp_path / "run", f"--bundle={micro}"
    dev = MICRO / "sst2_dev.tsv"
    result(
        tmp_path, "train", bundle, f"--train={MICRO / 'sst2_train.tsv'}", f"--run={run}",
        f"--dev={dev}", "--steps=5", "--lr=3e-4", f"--engine={engine}",
    )  # fmt: skip
    lines = (run / "evaluations.jsonl").read_text().splitlines()

    replayed = result(tmp_path, "eval", bundle, f"--data={dev}", f"--run={run}", "--at_step=5")

    seen = json.loads(lines[-1])
    assert seen["step"] == 5
    assert replayed["loss"] == pytest.approx(seen["loss"], rel=1e-5)
    assert replayed["accuracy"] == pytest.approx(seen["accuracy"], abs=1 / replayed["examples"])
