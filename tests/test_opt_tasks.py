"""Every SuperGLUE task end to end on real rows: our reduced computation against the reference's."""

import numpy as np
import pytest
from conftest import ENGINES
from forward import relative_error
from opt_reference import EXCERPTS

from pocketllm.runtime.batching import each_micro_batch, evaluation_rows
from pocketllm.runtime.contract import GOLD, LOGITS, WORDS
from pocketllm.runtime.dataset import batches_of, load_dataset
from pocketllm.runtime.evaluate import evaluate
from pocketllm.runtime.option_tasks import TASKS

TOLERANCE = 1e-5
# Buckets that hold the excerpts' rows and some that cut them; 640 tokens hold the longest.
LENGTHS = {"multirc": (192, 640), "record": (256, 512), "boolq": (96, 384), "cb": (64, 320)}


def excerpt(name):
    return EXCERPTS / ("sst2.tsv" if name == "sst2" else f"{name}.jsonl")


def scores_of(model, data):
    """Returns each example's scores, one an option."""
    bundle = model.bundle
    rows = [row for one in data.examples for row in evaluation_rows(one, bundle.scoring)]
    found = [None] * len(rows)
    for batch in each_micro_batch(rows, bundle.batch_size, bundle.lengths, data.pad_id):
        for member, values in zip(batch.members, model.forward(batch)[LOGITS]):
            found[member] = values
    following = iter(found)
    return [
        np.concatenate(
            [next(following) for _ in range(len(one.sequences) if bundle.scoring == GOLD else 1)]
        )
        for one in data.examples
    ]


@pytest.mark.desktop
@pytest.mark.parametrize("name", TASKS)
def test_loss_scores_and_predictions_are_the_references(
    name, opt_checkpoint, make_bundle, open_ready
):
    import opt_torch_reference as torch_reference

    lengths = LENGTHS.get(name, (64, 256))
    bundle = make_bundle(opt_checkpoint, task=name, lengths=lengths, batch_size=8)
    data = load_dataset(excerpt(name), bundle)
    assert len(data.examples) >= 20 and data.truncated == 0
    model = torch_reference.load(opt_checkpoint)
    ids = torch_reference.text_to_ids()
    encoded = torch_reference.encoded_reference(name, ids, max_length=2048)
    expected = [
        (torch_reference.option_log_probs(model, encodings), golds[0])
        for encodings, golds in encoded
    ]
    classified = bundle.scoring != GOLD
    loss = (
        torch_reference.classification_loss(expected)
        if classified
        else torch_reference.language_model_loss(expected)
    )
    means = [np.array([float(o.mean()) for o in options]) for options, _ in expected]
    predictions = [int(scores.argmax()) for scores in means]
    accuracy = np.mean([p in golds for p, (_, golds) in zip(predictions, encoded)])
    for engine in ENGINES:
        ours = open_ready(bundle, engine)
        found = scores_of(ours, data)
        if bundle.scoring == WORDS:  # logits: the options' scores but for the normaliser
            shifted = [np.asarray(s, np.float64) - s[0] for s in found]
            wanted = [scores - scores[0] for scores in means]
            logits = np.concatenate(found)
            error = np.abs(np.concatenate(shifted) - np.concatenate(wanted)).max()
            assert error <= 2 * TOLERANCE * np.abs(logits).max()
        else:
            assert relative_error(np.concatenate(found), np.concatenate(means)) <= TOLERANCE
        assert [int(scores.argmax()) for scores in found] == predictions
        trained = ours.loss(batches_of(data, bundle))
        evaluation = evaluate(ours, data)
        assert relative_error(trained, loss) <= TOLERANCE
        assert relative_error(evaluation.loss, loss) <= TOLERANCE
        assert evaluation.accuracy == accuracy


@pytest.mark.desktop
def test_options_of_several_words_have_the_references_loss(
    opt_checkpoint, make_bundle, open_ready, engine
):
    import opt_torch_reference as torch_reference
    from opt_reference import published, reference_ids

    from pocketllm.export.prompt import option_text_task

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
