"""Every SuperGLUE task end to end on real rows: our reduced computation against the reference's."""

import numpy as np
import pytest
from conftest import ENGINES
from forward import relative_error
from opt_reference import EXCERPTS

from pocketllm.runtime.contract import GOLD, LOGITS, WORDS
from pocketllm.runtime.data.batches import each_micro_batch, evaluation_rows
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.run.evaluate import evaluate
from pocketllm.runtime.tasks.causal import TASKS

TOLERANCE = 1e-5
# Buckets that hold the excerpts' rows, and those that cut some of them.
LENGTHS = {"multirc": (192, 640), "record": (256, 512), "boolq": (96, 384), "cb": (64, 320)}
# The excerpt's longest option has fewer: with 128 the LM head takes most of these tests' time.
OPTION_TOKENS = {"record": 64}
CUT = {"sst2": 24, "wic": 40, "copa": 16, "record": 160}


def excerpt(name):
    return EXCERPTS / ("sst2.tsv" if name == "sst2" else f"{name}.jsonl")


def scores_of(model, data):
    """Returns each example's scores, one an option."""
    bundle = model.bundle
    rows = [row for example in data.examples for row in evaluation_rows(example, bundle.scoring)]
    row_scores = [None] * len(rows)
    for batch in each_micro_batch(rows, bundle.batch_size, bundle.lengths, data.pad_id):
        for member, values in zip(batch.members, model.forward(batch)[LOGITS]):
            row_scores[member] = values
    following = iter(row_scores)
    return [
        np.concatenate(
            [
                next(following)
                for _ in range(len(example.sequences) if bundle.scoring == GOLD else 1)
            ]
        )
        for example in data.examples
    ]


def reference_of(checkpoint, name, max_length):
    """Returns (loss, each example's scores, accuracy) by the loss written out the long way."""
    import opt_torch_reference as torch_reference

    model, ids = torch_reference.load(checkpoint), torch_reference.text_to_ids()
    encoded = torch_reference.encoded_reference(name, ids, max_length)
    options = [torch_reference.option_log_probs(model, encodings) for encodings, _ in encoded]
    examples = [(log_probs, golds[0]) for log_probs, (_, golds) in zip(options, encoded)]
    classified = bool(TASKS[name].words)
    loss_of = (
        torch_reference.classification_loss if classified else torch_reference.language_model_loss
    )
    scores = [np.array([float(option.mean()) for option in log_probs]) for log_probs in options]
    right = [int(means.argmax()) in golds for means, (_, golds) in zip(scores, encoded)]
    return loss_of(examples), scores, float(np.mean(right))


def compare(ours, data, loss, scores, accuracy):
    """Asserts that a model's scores, predictions and losses are the reference's."""
    ours_scores = scores_of(ours, data)
    assert [int(row.argmax()) for row in ours_scores] == [int(row.argmax()) for row in scores]
    if ours.bundle.scoring == WORDS:  # logits: the options' scores but for the normaliser
        ours_scores = [np.asarray(row, np.float64) - row[0] for row in ours_scores]
        scores = [row - row[0] for row in scores]
    trained, evaluation = ours.loss(batches_of(data, ours.bundle)), evaluate(ours, data)
    errors = {
        "scores": relative_error(np.concatenate(ours_scores), np.concatenate(scores)),
        "training loss": relative_error(trained, loss),
        "evaluation loss": relative_error(evaluation.loss, loss),
    }
    print(ours.bundle.task.name, ours.engine.name, {k: f"{v:.1e}" for k, v in errors.items()})
    assert max(errors.values()) <= TOLERANCE
    assert evaluation.accuracy == accuracy


@pytest.mark.desktop
@pytest.mark.parametrize("name", TASKS)
def test_loss_scores_and_predictions_are_the_references(
    name, opt_checkpoint, make_bundle, open_ready
):
    lengths = LENGTHS.get(name, (64, 256))
    sizes = {"batch_size": 8, "option_tokens": OPTION_TOKENS.get(name, 0)}
    bundle = make_bundle(opt_checkpoint, task=name, lengths=lengths, **sizes)
    data = load_dataset(excerpt(name), bundle)
    assert len(data.examples) >= 20 and data.truncated == 0
    expected = reference_of(opt_checkpoint, name, max_length=2048)
    for engine in ENGINES:
        compare(open_ready(bundle, engine), data, *expected)


@pytest.mark.desktop
@pytest.mark.parametrize("name", TASKS)
def test_rows_cut_to_the_bucket_are_those_the_reference_cuts(
    name, opt_350m_checkpoint, make_bundle, open_ready
):
    tokens = CUT.get(name, 48)
    sizes = {"batch_size": 8, "option_tokens": OPTION_TOKENS.get(name, 0)}
    bundle = make_bundle(opt_350m_checkpoint, task=name, lengths=(tokens,), **sizes)
    data = load_dataset(excerpt(name), bundle)
    assert data.truncated >= 2
    # The label word is in the reference's row and not in ours.
    max_length = tokens + (bundle.scoring == WORDS)
    expected = reference_of(opt_350m_checkpoint, name, max_length)
    for engine in ENGINES:
        compare(open_ready(bundle, engine), data, *expected)


@pytest.mark.desktop
def test_options_of_several_words_have_the_references_loss(
    opt_checkpoint, make_bundle, open_ready, engine
):
    import opt_torch_reference as torch_reference
    from opt_reference import published, reference_ids

    from pocketllm.export.tasks.own_data import option_text_task

    words = ("a complete waste of time", "great", "so-so")
    task = option_text_task(
        "Review: {sentence}\\nIn short, it was", ",".join(f"{i}:{w}" for i, w in enumerate(words))
    )
    bundle = make_bundle(opt_checkpoint, task=task, lengths=(32, 96), batch_size=8)
    data = load_dataset(excerpt("sst2"), bundle)
    model, ids = torch_reference.load(opt_checkpoint), torch_reference.text_to_ids()
    expected = []
    for row in published("sst2"):
        prompt = f"Review: {row['sentence'].strip()}\nIn short, it was"
        encodings = reference_ids(ids, prompt, [f"{prompt} {word}" for word in words])
        expected.append((torch_reference.option_log_probs(model, encodings), int(row["label"])))
    means = [[float(option.mean()) for option in options] for options, _ in expected]

    ours = open_ready(bundle, engine)

    loss = torch_reference.classification_loss(expected)
    assert relative_error(ours.loss(batches_of(data, bundle)), loss) <= TOLERANCE
    assert relative_error(np.stack(scores_of(ours, data)), np.array(means)) <= TOLERANCE
