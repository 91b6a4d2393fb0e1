"""The loss of learnt tokens is transformers' own with labels of -100, in every architecture."""

import decoder_cases
import numpy as np
import pytest
from conftest import ENGINES
from forward import relative_error
from gradients import TOLERANCE as GRADIENT_TOLERANCE
from gradients import export_gradients, gradients_in
from opt_forward import opt_inputs, score_arrays

from pocketllm.runtime.contract import (
    LOGITS,
    LOSS,
    LOSS_MASK,
    TOKEN_LOSS,
    WEIGHT,
    WEIGHT_SUM,
    forward_loss_for,
)
from pocketllm.runtime.data.batches import Batch

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5
# case: tokens of its rows, more than any window; of one two blocks of attention.
CASES = dict.fromkeys(("opt", *decoder_cases.CASES), 20) | {"llama": 140}
# Tables of several chunks, the last one cut off, and matrices of several too.
PIECES = {"chunk_values": 16 * 100, "linear_values": 16 * 16}


def checkpoint_of(case, make_decoder, make_opt_checkpoint):
    if case == "opt":
        return make_opt_checkpoint(max_position_embeddings=160)
    return make_decoder(case=case)


def loss_of_labels(model, inputs, rows):
    """Returns transformers' loss of some rows with labels of -100, and how many it counts."""
    import torch

    ids = torch.tensor(inputs["input_ids"][rows]).long()
    learnt = torch.tensor(inputs[LOSS_MASK][rows]).bool()
    mask = torch.tensor(inputs["attention_mask"][rows])
    labels = torch.where(learnt, ids, -100)
    with torch.no_grad():
        loss = model(ids, attention_mask=mask, labels=labels).loss
    return float(loss), int((labels[:, 1:] != -100).sum())


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_of_learnt_tokens_are_those_of_transformers(
    case, make_decoder, make_opt_checkpoint, open_ready, tmp_path
):
    import torch
    from adam_reference import INVARIANT, TorchAdam

    checkpoint = checkpoint_of(case, make_decoder, make_opt_checkpoint)
    tokens = CASES[case]
    bundle = export_gradients(
        checkpoint, tmp_path / "bundle", task="sft", lengths=(tokens,), **PIECES
    )
    assert bundle.scoring == TOKEN_LOSS
    theirs = TorchAdam(checkpoint, bundle, torch.float64)
    inputs = opt_inputs(bundle, tokens, seed=5)
    loss, scores, weight_sum = score_arrays(theirs.model, bundle, inputs)
    alike = inputs | {WEIGHT: np.array([1, 1, 0], np.float32)}
    of_labels, count = loss_of_labels(theirs.model, inputs, slice(0, 2))
    expected = {name: g.numpy() for name, g in theirs.gradients(inputs).items()}
    scale = max(np.abs(gradient).max() for gradient in expected.values())
    for engine in ENGINES:
        model = open_ready(bundle, engine)
        actual = model.engine.run(forward_loss_for(tokens), **inputs)
        assert relative_error(actual[LOSS], [loss]) <= TOLERANCE, engine
        assert relative_error(actual[LOGITS][:2], scores) <= TOLERANCE, engine
        assert actual[WEIGHT_SUM] == [weight_sum] and np.isfinite(actual[LOGITS]).all()

        actual = model.engine.run(forward_loss_for(tokens), **alike)
        assert abs(actual[LOSS][0] - of_labels) <= TOLERANCE * max(1, of_labels), engine
        assert actual[WEIGHT_SUM] == [count]

        computed = gradients_in(model, inputs, tokens)
        for name, gradient in expected.items():
            if name.endswith(INVARIANT) and np.abs(gradient).max() <= 1e-7 * scale:
                assert np.abs(computed[name]).max() <= 1e-6 * scale, name
            else:
                error = relative_error(computed[name], gradient)
                assert error <= GRADIENT_TOLERANCE, (name, engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_micro_batches_are_joined_by_their_counts_of_learnt_tokens(
    make_decoder, make_bundle, open_ready, engine
):
    import torch
    from adam_reference import TorchAdam

    checkpoint = make_decoder(case="llama")
    bundle = make_bundle(checkpoint, task="sft", lengths=(24,))
    model = open_ready(bundle, engine)
    drawn = [opt_inputs(bundle, 24, seed) | {WEIGHT: np.ones(3, np.float32)} for seed in range(3)]
    for inputs in drawn:  # fillers become rows: of 2 tokens, the second learnt
        inputs[LOSS_MASK][-1, 1] = 1
    drawn[2][WEIGHT] = np.array([1, 0, 0], np.float32)
    whole = {name: np.concatenate([inputs[name] for inputs in drawn]) for name in drawn[0]}

    joined = model.loss([Batch(24, inputs, 3, (0, 1, 2)) for inputs in drawn])

    reference = TorchAdam(checkpoint, bundle, torch.float64).model
    expected, count = loss_of_labels(reference, whole, slice(0, 7))
    means = [loss_of_labels(reference, inputs, slice(0, 3))[0] for inputs in drawn[:2]]
    assert abs(joined - expected) <= TOLERANCE * expected and count > 20
    assert abs(np.mean(means) - expected) > 1e-3, "rows alike prove nothing"
