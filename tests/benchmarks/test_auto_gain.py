"""What --lr=auto gains beside a grid of seven rates, on small and real models; prints the table."""

import json

import pytest
import smollm2
from small_runs import pocketllm

from pocketllm.tflite_models.presets import MICRO, PRESETS

pytestmark = [pytest.mark.slow, pytest.mark.desktop]

STEPS, BATCH_SIZE = 200, 16
SECONDS = 1800  # for a command, on a busy machine
SMOLLM2 = "SmolLM2-135M-Instruct"
LORA = ("--tune=lora", "--base=int8")
# name: (model, flags of the export, the lowest rate of the grid; each other is √10 times larger)
CASES = {
    "roberta-micro, full": ("roberta-micro", (), 3e-6),
    "roberta-micro, LoRA on int8": ("roberta-micro", LORA, 3e-5),
    "opt-micro, full": ("opt-micro", (), 3e-6),
    "SmolLM2-135M, LoRA on int8": (SMOLLM2, LORA, 1e-4),
}
TRAIN, HELD_OUT = MICRO / "sst2_train.tsv", MICRO / "sst2_heldout.tsv"


def checkpoint_of(model):
    """Returns the folder of a preset, or the file of SmolLM2's real weights."""
    return smollm2.needed() if model == SMOLLM2 else PRESETS[model].checkpoint_folder


def result_of(folder, *arguments):
    """Runs a command; returns its result, None where a loss was not finite."""
    path = folder / "result.json"
    done = pocketllm(*arguments, f"--json={path}", timeout=SECONDS)
    if done.returncode == 1 and "not finite" in done.stderr:
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


@pytest.mark.parametrize("case", CASES)
def test_the_measured_rate_gains_half_of_the_best_of_seven(case, tmp_path):
    model, flags, lowest = CASES[case]
    bundle = tmp_path / "bundle"
    result_of(
        tmp_path, "export", f"--model={checkpoint_of(model)}", "--task=sst2",
        f"--batch_size={BATCH_SIZE}", "--lengths=32,64", f"--out={bundle}", *flags,
    )  # fmt: skip

    def held_out_loss(*run):
        return result_of(tmp_path, "eval", f"--bundle={bundle}", f"--data={HELD_OUT}", *run)["loss"]

    start = held_out_loss()

    def gain(name, *rate):
        run = tmp_path / name
        trained = result_of(
            tmp_path, "train", f"--bundle={bundle}", f"--train={TRAIN}", f"--run={run}",
            f"--steps={STEPS}", f"--batch_size={BATCH_SIZE}", *rate,
        )  # fmt: skip
        if trained is None:
            return None, float("-inf")
        return trained, start - held_out_loss(f"--run={run}")

    rates = [float(f"{lowest * 10 ** (place / 2):.1e}") for place in range(7)]
    gains = {rate: gain(f"{rate:g}", f"--lr={rate!r}")[1] for rate in rates}
    trained, measured = gain("auto")

    print(f"{case}: {STEPS} steps of {BATCH_SIZE} rows, loss {start:.4f}")
    for rate in rates:
        print(f"  lr {rate:g}: {gains[rate]:+.4f}")
    print(f"  auto, lr {trained['lr']:g}: {measured:+.4f}")
    figures = trained["measured"]["measured"]
    assert figures["calls"] <= 0.05 * figures["run_calls"]
    assert measured >= max(gains.values()) / 2
