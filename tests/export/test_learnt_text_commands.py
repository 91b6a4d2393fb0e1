"""The commands on learnt text, end to end: train, eval, going on, replay to a checkpoint."""

import json
import math
import shutil

import numpy as np
import pytest
from small_runs import complaint, pocketllm

pytestmark = pytest.mark.desktop

ANSWERS = {"It was": " a film", "a film": " great", "Yes": " No", "No": " Maybe great", "a": " was"}
ROWS = [{"prompt": prompt, "completion": answer} for prompt, answer in ANSWERS.items()]


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def bundle(make_decoder, make_bundle):
    checkpoint = make_decoder(case="llama")
    return make_bundle(checkpoint, task="sft", lengths=(16, 32), adam=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return lines(folder / "train.jsonl", ROWS), lines(folder / "dev.jsonl", ROWS[::-1] + ROWS[:1])


def succeed(*arguments):
    done = pocketllm(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def evaluations(run):
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


def transformers_loss(folder, rows):
    """Returns transformers' loss of the answers and their end tokens, and how many these are."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    total = count = 0
    for row in rows:
        prompt = tokenizer(row["prompt"])["input_ids"]
        ids = tokenizer(row["prompt"] + row["completion"])["input_ids"]
        labels = torch.tensor(
            [[-100] * len(prompt) + ids[len(prompt) :] + [tokenizer.eos_token_id]]
        )
        with torch.no_grad():
            loss = model(torch.tensor([[*ids, tokenizer.eos_token_id]]), labels=labels).loss
        learnt = int((labels[:, 1:] != -100).sum())
        total, count = total + float(loss) * learnt, count + learnt
    return total / count, count


def test_a_run_is_trained_evaluated_and_becomes_a_checkpoint_of_transformers(
    bundle, files, tmp_path, make_decoder
):
    train, dev = files
    run, result, out = tmp_path / "run", tmp_path / "result.json", tmp_path / "checkpoint"
    common = ("train", f"--bundle={bundle.folder}", f"--train={train}", f"--dev={dev}")
    # With this seed six steps lower the loss, so that the best one is not the first.
    mezo = (*common, "--batch_size=4", "--lr=1e-2", "--eps=1e-2", "--eval_every=2", "--seed=1")

    printed = succeed(*mezo, "--steps=6", f"--run={run}", f"--json={result}")

    trained = json.loads(result.read_text())
    learnt = sum(len(row["completion"]) for row in ROWS)  # more than its tokens
    assert (
        f"{len(ROWS)} examples, {trained['learnt_tokens']} of {trained['row_tokens']} tokens"
        in printed
    )
    assert 0 < trained["learnt_tokens"] < learnt and trained["truncated"] == 0
    recorded = evaluations(run)
    assert [entry["step"] for entry in recorded] == [0, 2, 4, 6]
    best = min(recorded, key=lambda entry: entry["loss"])
    assert trained["best_step"] == best["step"] and trained["best_dev"]["loss"] == best["loss"]
    assert all("accuracy" not in entry and entry["tokens"] > 0 for entry in recorded)

    succeed(
        "eval", f"--bundle={bundle.folder}", f"--data={dev}", f"--run={run}", f"--json={result}"
    )
    evaluated = json.loads(result.read_text())
    assert (evaluated["step"], evaluated["loss"]) == (best["step"], best["loss"])
    assert evaluated["perplexity"] == math.exp(best["loss"]) and "accuracy" not in evaluated
    assert evaluated["tokens"] == best["tokens"] and evaluated["examples"] == 6

    succeed("replay", f"--bundle={bundle.folder}", f"--run={run}", f"--out={out}")
    loss, count = transformers_loss(
        out, [json.loads(line) for line in dev.read_text().splitlines()]
    )
    assert count == best["tokens"] and abs(loss - best["loss"]) <= 1e-5 * loss
    untuned, _ = transformers_loss(make_decoder(case="llama"), ROWS[::-1] + ROWS[:1])
    assert abs(untuned - recorded[0]["loss"]) <= 1e-5 * untuned and abs(loss - untuned) > 1e-3


def test_a_run_that_is_killed_in_each_phase_ends_with_the_same_bytes(bundle, files):
    train, dev = files
    printed = succeed(
        "torture", "kills", f"--bundle={bundle.folder}", f"--train={train}", f"--dev={dev}",
        "--kills=8", "--steps=30", "--snapshot_steps=8",
    )  # fmt: skip
    assert "8 kills" in printed and "every run ended with the same bytes" in printed


def test_adam_learns_the_answers_and_keeps_the_step_of_lowest_loss(bundle, files, tmp_path):
    train, _ = files
    run, result = tmp_path / "run", tmp_path / "result.json"
    succeed(
        "train", f"--bundle={bundle.folder}", f"--train={train}", f"--dev={train}",
        "--optimizer=adam", "--lr=3e-2", "--steps=60", "--eval_every=20", "--batch_size=3",
        f"--run={run}", f"--json={result}",
    )  # fmt: skip
    recorded = evaluations(run)
    best = min(recorded, key=lambda entry: entry["loss"])
    assert json.loads(result.read_text())["best_step"] == best["step"] > 0
    assert best["loss"] < recorded[0]["loss"] / 4
    assert {path.name for path in run.glob("parameters-*.npz")} >= {
        f"parameters-{best['step']}.npz"
    }

    printed = succeed("report", run, f"--out={tmp_path / 'report'}")
    assert f"best dev loss {best['loss']:.4f} at {best['step']}" in printed
    text = (tmp_path / "report" / "report.md").read_text()
    assert (
        f"{best['loss']:.4f}, perplexity" in text and "best dev accuracy" not in text.split("\n")[2]
    )
    (row,) = json.loads((tmp_path / "report" / "report.json").read_text())["runs"]
    assert (row["best_dev_loss"], row["best_dev_accuracy"]) == (best["loss"], None)


def test_inspect_says_what_is_learnt(bundle, tmp_path):
    printed = succeed("inspect", f"--bundle={bundle.folder}", f"--json={tmp_path / 'i.json'}")
    assert "learnt      the completion and its end token" in printed
    shown = json.loads((tmp_path / "i.json").read_text())
    assert (shown["task"], shown["scoring"], shown["learnt"]) == ("sft", "tokens", "answers")


def test_a_bad_row_is_one_line_and_a_long_one_is_cut_and_counted(bundle, tmp_path):
    bad = lines(tmp_path / "bad.jsonl", [*ROWS, {"prompt": "a", "answer": "b"}])
    done = pocketllm("eval", f"--bundle={bundle.folder}", f"--data={bad}")
    complaint(done, 2, f"{bad} line 6: found the keys 'prompt', 'answer'", "prompt and completion")

    long = lines(tmp_path / "long.jsonl", [*ROWS, {"prompt": "a", "completion": "x" * 5_000_000}])
    result = tmp_path / "result.json"
    printed = succeed("eval", f"--bundle={bundle.folder}", f"--data={long}", f"--json={result}")
    assert "1 truncated to fit 32 tokens" in printed
    assert json.loads(result.read_text())["truncated"] == 1


def test_flags_of_the_mask_and_a_tokenizer_without_an_end_token(make_decoder, tmp_path):
    out, checkpoint = f"--out={tmp_path / 'out'}", make_decoder(case="llama")
    export = ("export", f"--model={checkpoint}", out)
    done = pocketllm(*export, "--task=cb", "--mask=none")
    complaint(done, 2, "--mask=none goes with --task=sft or chat, not cb")

    endless = tmp_path / "endless"
    shutil.copytree(checkpoint, endless)
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        values = json.loads((endless / name).read_text())
        values = {key: value for key, value in values.items() if not key.startswith("eos")}
        (endless / name).write_text(json.dumps(values))
    done = pocketllm("export", f"--model={endless}", out, "--task=sft", "--lengths=16")
    complaint(done, 2, "found no end token", "eos_token in tokenizer_config.json")


def test_without_a_mask_prompts_are_learnt_and_a_plain_text_is_learnt_whole(
    make_decoder, make_bundle, files
):
    from dataclasses import replace

    from pocketllm.runtime.data.dataset import load_dataset
    from pocketllm.runtime.tasks.text import EVERYTHING, TASKS

    checkpoint, (train, _) = make_decoder(case="llama"), files
    masked = make_bundle(checkpoint, task="sft", lengths=(16, 32), adam=True)
    data = load_dataset(train, replace(masked, task=replace(TASKS["sft"], learnt=EVERYTHING)))
    assert data.learnt_tokens == data.tokens - len(data.examples), "all but each row's first"

    notes = train.with_name("notes.txt")
    notes.write_text("It was a great film. " * 60)
    data = load_dataset(notes, replace(masked, task=TASKS["lm"]))
    ids = np.concatenate([row.input_ids[1:] for e in data.examples for row in e.sequences])
    assert data.learnt_tokens == len(ids) and data.truncated == 0
    assert "in windows of 1 text" in data.describe() and "read as one text" in data.describe()
