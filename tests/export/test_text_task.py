"""The user's own data through the command line: export --task=text, train, eval, beside PyTorch."""

import json

import numpy as np
import pytest
from small_runs import pocketllm

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.tflite_models.presets import MICRO

pytestmark = pytest.mark.desktop

# Per task: flags, rows, and each row's prompt as pieces (None for the mask), written by hand.
TASKS = {
    "one field, two labels": {
        "export": (
            "--prompt={text} It was {mask}.",
            "--label_words=bad:terrible,good:great",
            "--lengths=32",
        ),
        "words": (" terrible", " great"),
        "rows": [
            ({"text": "a gripping film", "label": "good"}, 1),
            ({"text": "dull from start to end .", "label": "bad"}, 0),
            ({"label": "bad", "text": "It wastes a fine cast!", "note": "unused"}, 0),
            ({"text": "one of the best of the year", "label": "good"}, 1),
            ({"text": "", "label": "good"}, 1),
        ],
        "pieces": lambda row: [row["text"], " It was", None, "."],
    },
    "two fields, three labels": {
        "export": (
            "--prompt=The {title} is {mask}, {body}",
            "--label_words=-1: bad, 0: dull, 1: good",
            "--lengths=16,48",
        ),
        "words": (" bad", " dull", " good"),
        "rows": [
            ({"title": "plot", "body": "and nothing happens in it for two hours", "label": 0}, 1),
            ({"title": "cast", "body": "as always", "label": 1}, 2),
            ({"title": "sound", "body": "too loud", "label": "-1"}, 0),
            ({"title": "end of this long story", "body": "and we laughed", "label": "1"}, 2),
        ],
        "pieces": lambda row: ["The", " " + row["title"], " is", None, ",", " " + row["body"]],
    },
}
# Measured: 1.5e-7; the reference is float64.
LOSS_TOLERANCE = 2e-6


def run(folder, *arguments):
    """Runs a command that must succeed; returns (stdout, what --json wrote)."""
    done = pocketllm(*arguments, f"--json={folder / 'told.json'}")
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "told.json").read_text())


def write_jsonl(path, rows):
    """Writes one object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Exports roberta-micro for a task, once: name -> bundle folder."""
    bundles = {}

    def make(name):
        if name not in bundles:
            folder = tmp_path_factory.mktemp("text")
            _, result = run(
                folder, "export", "--model=roberta-micro", "--task=text", "--batch_size=4",
                *TASKS[name]["export"], f"--out={folder / 'bundle'}",
            )  # fmt: skip
            assert result["bundle"] == str(folder / "bundle")
            bundles[name] = folder / "bundle"
        return bundles[name]

    return make


def torch_loss_and_accuracy(prompts, labels, words):
    """Returns the mean cross-entropy over the label words, and the share of rows right."""
    import torch
    from transformers import RobertaForMaskedLM, RobertaTokenizerFast

    tokenizer = RobertaTokenizerFast.from_pretrained(MICRO)
    model = RobertaForMaskedLM.from_pretrained(MICRO, attn_implementation="eager").double().eval()
    word_ids = [tokenizer.encode(word, add_special_tokens=False)[0] for word in words]
    logits = []
    for pieces in prompts:
        ids = [0]
        for piece in pieces:
            if piece is None:
                mask_position = len(ids)
                ids.append(tokenizer.mask_token_id)
            else:
                ids += tokenizer.encode(piece, add_special_tokens=False)
        with torch.no_grad():
            scores = model(torch.tensor([[*ids, 2]])).logits
        logits.append(scores[0, mask_position, word_ids])
    logits = torch.stack(logits)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    return loss.item(), float(np.mean(logits.argmax(1).numpy() == labels))


@pytest.mark.parametrize("name", TASKS)
def test_the_users_own_data_goes_from_export_to_eval(name, exported, tmp_path):
    task, bundle = TASKS[name], exported(name)
    rows, labels = zip(*task["rows"])
    data = write_jsonl(tmp_path / "own.jsonl", rows)
    places = f"--bundle={bundle}", f"--run={tmp_path / 'run'}"

    printed, trained = run(
        tmp_path, "train", *places, f"--train={data}", f"--dev={data}",
        "--steps=2", "--batch_size=4", "--lr=1e-4", "--eval_every=1",
    )  # fmt: skip
    assert f"{data}: {len(rows)} examples\n" in printed
    assert (trained["last_step"], trained["truncated"]) == (2, 0)
    assert trained["run"] == str(tmp_path / "run")
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert [step["step"] for step in steps if "projected_grad" in step] == [1, 2]

    prompts = [task["pieces"](row) for row in rows]
    loss, accuracy = torch_loss_and_accuracy(prompts, labels, task["words"])
    _, untuned = run(tmp_path, "eval", f"--bundle={bundle}", f"--data={data}")
    assert untuned["loss"] == pytest.approx(loss, rel=LOSS_TOLERANCE)
    assert (untuned["accuracy"], untuned["step"]) == (pytest.approx(accuracy), 0)

    printed, tuned = run(tmp_path, "eval", *places, f"--data={data}", "--at_step=2")
    assert (tuned["step"], tuned["examples"], tuned["truncated"]) == (2, len(rows), 0)
    assert tuned["loss"] != untuned["loss"] and tuned["bundle"] == str(bundle)
    assert f"at step 2: accuracy {tuned['accuracy']:.4f}, loss {tuned['loss']:.4f}" in printed
    _, best = run(tmp_path, "eval", *places, f"--data={data}")
    assert best["step"] == trained["best_step"]


@pytest.mark.parametrize("name", TASKS)
def test_the_bundle_holds_the_users_task(name, exported):
    task, bundle = TASKS[name], read_bundle(exported(name))

    lengths = task["export"][2].removeprefix("--lengths=")
    assert ",".join(map(str, bundle.lengths)) == lengths
    assert (bundle.task.name, bundle.task.words) == ("text", task["words"])
    fields = {key for row, _ in task["rows"] for key in row} - {"label", "note"}
    assert set(bundle.task.columns) == fields
    for length in bundle.lengths:
        outputs = bundle.signatures[f"forward_loss_{length}"]["outputs"]
        assert outputs["logits"] == ["float32", [4, len(task["words"])]]


def test_a_data_set_whose_every_row_is_truncated_is_run_and_counted(exported, tmp_path):
    rows = [{"text": "so long a film " * 20, "label": label} for label in ("good", "bad", "good")]
    data = write_jsonl(tmp_path / "long.jsonl", rows)
    bundle = f"--bundle={exported('one field, two labels')}"

    printed, trained = run(
        tmp_path, "train", bundle, f"--train={data}", f"--run={tmp_path / 'run'}",
        "--steps=1", "--batch_size=2", "--lr=1e-6",
    )  # fmt: skip
    assert f"{data}: 3 examples, 3 truncated to fit" in printed
    assert (trained["truncated"], trained["last_step"]) == (3, 1)

    printed, result = run(tmp_path, "eval", bundle, f"--data={data}")
    assert f"{data}: 3 examples, 3 truncated to fit" in printed
    assert (result["examples"], result["truncated"]) == (3, 3)
    # One prompt under two labels: right for the one or for the other.
    assert result["accuracy"] in (pytest.approx(1 / 3), pytest.approx(2 / 3))
