"""Tasks on today's architectures, each with a tokenizer of its make: text to loss and accuracy.

The reference is transformers from the text on: AutoTokenizer, every option a row of its own, the
whole vocabulary's log-softmax. Rows are cut on the left behind what the tokenizer puts there.
"""

import json
import math

import numpy as np
import pytest
from forward import relative_error
from opt_reference import EXCERPTS, reference
from small_runs import pocketllm
from todays_tokenizers import MAKES

from pocketllm.export.tasks.own_data import option_text_task
from pocketllm.runtime.contract import WORDS
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.run.evaluate import evaluate
from pocketllm.runtime.tasks.causal import TASKS

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5
LINES = 6  # of an excerpt
# (make, task); each task once, each make with several.
CASES = [
    ("smollm2", "sst2"), ("smollm2", "copa"), ("llama3", "rte"), ("llama3", "boolq"),
    ("qwen", "cb"), ("qwen", "multirc"), ("gemma", "record"), ("gemma", "wsc"),
    ("tinyllama", "wic"), ("qwen", "text"),
]  # fmt: skip
SIZES = {"record": {"lengths": (512,), "option_tokens": 400}, "copa": {"option_tokens": 100}}
TRAINED = [("smollm2", "sst2"), ("llama3", "boolq"), ("qwen", "text"), ("gemma", "record")]
# Stars in digits are several tokens, so that this one is scored as options.
OWN = option_text_task("{sentence}\\nStars:", "0:1,1:12")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Writes the first rows of a task's excerpt: task -> file."""
    folder = tmp_path_factory.mktemp("rows")

    def write(name):
        name = "sst2" if name == "text" else name
        source = EXCERPTS / ("sst2.tsv" if name == "sst2" else f"{name}.jsonl")
        lines = source.read_text(encoding="utf-8").split("\n")[: LINES + (name == "sst2")]
        path = folder / source.name
        path.write_text("\n".join(lines).rstrip("\n") + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def tiny_decoder(decoder_folder, make_bundle):
    """Exports a make's model for a task: (make, task) -> (checkpoint, bundle)."""

    def export(make, name):
        folder = decoder_folder(make=make)
        sizes = {"lengths": (96,), "batch_size": 4} | SIZES.get(name, {})
        return folder, make_bundle(folder, task=OWN if name == "text" else name, **sizes)

    return export


@pytest.fixture(scope="module")
def decoder_folder(tmp_path_factory):
    """Saves a tiny model of a make, once each."""
    from conftest import _checkpoint_maker

    return _checkpoint_maker("decoder_of_make.write", tmp_path_factory)


def prompts_of(name, count):
    """Returns (prompt, texts, golds) of the first examples."""
    if name != "text":
        return reference(name)[:count]
    own = []
    for _, texts, golds in reference("sst2")[:count]:
        prompt = texts[0].removesuffix(" It was terrible") + "\nStars:"
        own.append((prompt, [f"{prompt} 1", f"{prompt} 12"], golds))
    return own


def encoded(theirs, prompt, texts, room):
    """Returns (ids, how many are scored) an option, as MeZO's experiments cut and count them."""

    def ids(text):
        return theirs(text, add_special_tokens=False).input_ids

    begin = theirs("film").input_ids[: len(theirs("film").input_ids) - len(ids("film"))]
    encodings = []
    for text in texts:
        scored = len(ids(text.strip(" "))) - len(ids(prompt.strip(" ")))
        whole = ids(text.strip())
        encodings.append((begin + whole[-(room - len(begin)) :], scored))
    return encodings


@pytest.mark.parametrize(("make", "name"), CASES)
def test_losses_and_predictions_are_those_of_transformers(
    make, name, tiny_decoder, rows, open_ready
):
    import opt_torch_reference as torch_reference
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, bundle = tiny_decoder(make, name)
    data = load_dataset(rows(name), bundle)
    theirs = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float64
    ).eval()
    room = bundle.lengths[-1] + (bundle.scoring == WORDS)
    examples, right = [], []
    for prompt, texts, golds in prompts_of(name, len(data.examples)):
        options = torch_reference.option_log_probs(model, encoded(theirs, prompt, texts, room))
        examples.append((options, golds[0]))
        right.append(int(np.argmax([float(o.mean()) for o in options])) in golds)
    is_gold = not (name == "text" or TASKS[name].words)
    loss_of = (
        torch_reference.language_model_loss if is_gold else torch_reference.classification_loss
    )
    expected = loss_of(examples)

    ours = open_ready(bundle, "litert")
    evaluation = evaluate(ours, data)

    assert len(data.examples) == len(examples) >= 2
    assert bundle.scoring == ("gold" if is_gold else "options" if name == "text" else "words")
    assert relative_error(ours.loss(batches_of(data, bundle)), expected) <= TOLERANCE
    assert relative_error(evaluation.loss, expected) <= TOLERANCE
    assert evaluation.accuracy == np.mean(right)


@pytest.mark.parametrize(("make", "name"), TRAINED)
def test_a_task_is_trained_and_evaluated(make, name, tiny_decoder, rows, tmp_path):
    _, bundle = tiny_decoder(make, name)
    run, result, data = tmp_path / "run", tmp_path / "result.json", rows(name)

    done = pocketllm(
        "train", f"--bundle={bundle.folder}", f"--train={data}", f"--run={run}", "--steps=3",
        "--batch_size=4", "--lr=1e-3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 3 and all(math.isfinite(step["loss_plus"]) for step in steps)
    assert len({step["loss_plus"] for step in steps}) == 3
    done = pocketllm(
        "eval", f"--bundle={bundle.folder}", f"--data={data}", f"--run={run}", f"--json={result}"
    )
    assert done.returncode == 0, done.stderr
    assert math.isfinite(json.loads(result.read_text())["loss"])


def test_every_make_has_a_task_that_is_trained_or_compared():
    assert {make for make, _ in CASES} == set(MAKES)
    assert {name for _, name in CASES} == {*TASKS, "text"}
