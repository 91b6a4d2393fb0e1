"""The commands on OPT: export with a task's own buckets, train, evaluate, and what they refuse."""

import json
import math

import pytest
from opt_reference import EXCERPTS
from small_runs import complaint, pocketllm

pytestmark = pytest.mark.desktop

BUCKETS = {"boolq": "128,256", "copa": "16,32"}


@pytest.fixture(scope="module")
def exported(opt_checkpoint, tmp_path_factory):
    """Exports the tiny OPT for a task, once each: task -> (bundle folder, JSON of the export)."""
    bundles = {}

    def make(task, *more):
        if task not in bundles:
            folder = tmp_path_factory.mktemp(task)
            out, result = folder / "bundle", folder / "export.json"
            done = pocketllm(
                "export", f"--model={opt_checkpoint}", f"--task={task}", f"--out={out}",
                f"--json={result}", *more,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            bundles[task] = out, json.loads(result.read_text()), done.stdout
        return bundles[task]

    return make


def test_by_default_the_buckets_are_the_tasks_and_what_they_truncate_is_said(exported):
    _, result, printed = exported("copa")
    assert result["lengths"] == [16, 32] and result["published_share_truncated"] == 0
    assert "truncated" not in printed

    _, result, printed = exported("rte", "--lengths=64")
    assert result["published_share_truncated"] == pytest.approx(0.559, abs=1e-3)
    assert "rte: 55.9% of the published training rows are longer than 64 tokens" in printed


def test_buckets_end_where_the_model_does(make_opt_checkpoint, tmp_path):
    result = tmp_path / "export.json"
    done = pocketllm(
        "export", f"--model={make_opt_checkpoint()}", "--task=wic", f"--out={tmp_path / 'out'}",
        f"--json={result}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(result.read_text())["lengths"] == [40], "40 positions, wic's are 48 and 64"


@pytest.mark.parametrize("task", BUCKETS)
def test_a_split_is_trained_on_and_evaluated(task, exported, tmp_path):
    bundle, _, _ = exported(task, f"--lengths={BUCKETS[task]}")
    rows, run, result = EXCERPTS / f"{task}.jsonl", tmp_path / "run", tmp_path / "result.json"

    done = pocketllm(
        "train", f"--bundle={bundle}", f"--train={rows}", "--split=12/8", f"--run={run}",
        "--steps=3", "--batch_size=4", "--lr=1e-3", f"--json={result}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trained = json.loads(result.read_text())
    assert (trained["examples"], trained["dev_examples"]) == (12, 8)
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 3 and all(math.isfinite(step["loss_plus"]) for step in steps)
    assert trained["truncated"] == 0 and "truncated" not in done.stdout

    done = pocketllm(
        "eval", f"--bundle={bundle}", f"--data={rows}", f"--run={run}", f"--json={result}"
    )
    assert done.returncode == 0, done.stderr
    evaluated = json.loads(result.read_text())
    assert evaluated["examples"] == 20 and math.isfinite(evaluated["loss"])


def test_an_option_that_no_bucket_holds_is_named_with_its_row(exported, tmp_path):
    bundle, _, _ = exported("copa")
    row = json.loads((EXCERPTS / "copa.jsonl").read_text().splitlines()[0])
    data = tmp_path / "long.jsonl"
    long = row | {"choice2": "The sun " + "shone and " * 30}
    data.write_text(f"{json.dumps(row)}\n{json.dumps(long)}\n")

    done = pocketllm("eval", f"--bundle={bundle}", f"--data={data}")

    complaint(done, 2, f"{data} line 2: the option", "expected 1 to 31", "longer --lengths")


@pytest.mark.parametrize("without", ["premise", "choice1", "question", "label"])
def test_a_row_without_one_of_its_fields_is_named(without, exported, tmp_path):
    bundle, _, _ = exported("copa")
    rows = [json.loads(line) for line in (EXCERPTS / "copa.jsonl").read_text().splitlines()]
    del rows[2][without]
    data = tmp_path / "incomplete.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    done = pocketllm("eval", f"--bundle={bundle}", f"--data={data}")

    complaint(done, 2, f"{data} line 3", without)


def test_ones_own_words_of_several_tokens_are_scored(opt_checkpoint, tmp_path):
    bundle, data = tmp_path / "bundle", tmp_path / "mine.jsonl"
    rows = [{"text": f"It ended {how}.", "label": how} for how in ("well", "badly", "well")]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = pocketllm(
        "export", f"--model={opt_checkpoint}", "--task=text", f"--out={bundle}",
        "--prompt={text}\\nAll in all, it was {mask}.", "--lengths=32",
        "--label_words=well:a great success,badly:not worth it at all",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    result = tmp_path / "eval.json"
    done = pocketllm("eval", f"--bundle={bundle}", f"--data={data}", f"--json={result}")

    assert done.returncode == 0, done.stderr
    assert json.loads(result.read_text())["examples"] == 3
    described = json.loads((bundle / "bundle.json").read_text())
    assert described["scoring"] == "options" and described["style"] == "causal"
    shapes = described["signatures"]["forward_loss"]
    assert shapes["inputs"]["input_ids"] == ["int32", [16, 32]]
    assert shapes["outputs"]["logits"] == ["float32", [8, 2]]


def test_a_task_of_the_other_style_is_refused_by_name(opt_checkpoint, tmp_path):
    arguments = (f"--model={opt_checkpoint}", f"--out={tmp_path / 'out'}")
    complaint(
        pocketllm("export", *arguments, "--task=trec"), 2, "trec: unknown for opt models", "record"
    )
