"""Decoders against transformers, exported and delegated: losses, scores, gradients, in float64."""

import decoder_cases
import numpy as np
import pytest
from conftest import ENGINES
from forward import relative_error
from gradients import TOLERANCE as GRADIENT_TOLERANCE
from gradients import export_gradients, gradients_in
from opt_forward import opt_inputs, score_arrays, task_of

from pocketllm.runtime.contract import (
    GOLD,
    LOGITS,
    LOSS,
    OPTIONS,
    WEIGHT_SUM,
    WORDS,
    forward_loss_for,
)

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5
TOKENS = 140  # two blocks of attention, and more than any window
# case: the scoring that gradients are taken of; the two others are scored alone.
GRADIENTS_OF = dict(zip(decoder_cases.CASES, (OPTIONS, GOLD, WORDS) * len(decoder_cases.CASES)))
OTHERS = [
    (case, scoring)
    for case in decoder_cases.CASES
    for scoring in (WORDS, OPTIONS, GOLD)
    if scoring != GRADIENTS_OF[case]
]
# Tables of several chunks, the last one cut off, and matrices of several too.
PIECES = {"chunk_values": 16 * 100, "linear_values": 16 * 16}


def reference(checkpoint, bundle):
    """Loads the checkpoint into transformers' model, in float64; {parameter: tensor} beside it."""
    import torch
    from adam_reference import TorchAdam

    return TorchAdam(checkpoint, bundle, torch.float64)


def check_scores(bundle, model, inputs, open_ready):
    """Asserts loss and scores of both engines; returns transformers' scores."""
    loss, logits, weight_sum = score_arrays(model, bundle, inputs)
    for engine in ENGINES:
        actual = open_ready(bundle, engine).engine.run(forward_loss_for(TOKENS), **inputs)
        assert relative_error(actual[LOSS], [loss]) <= TOLERANCE, engine
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE, engine
        assert actual[WEIGHT_SUM] == [weight_sum]
        assert np.isfinite(actual[LOGITS]).all()
    return logits


@pytest.mark.parametrize(("case", "scoring"), OTHERS)
def test_losses_and_scores_are_those_of_transformers(
    case, scoring, make_decoder, make_bundle, open_ready
):
    checkpoint = make_decoder(case=case)
    bundle = make_bundle(checkpoint, task=task_of(scoring), lengths=(TOKENS,), **PIECES)
    assert bundle.scoring == scoring and bundle.architecture in bundle.config["model_type"]
    model = reference(checkpoint, bundle).model

    logits = check_scores(bundle, model, opt_inputs(bundle, TOKENS, seed=3), open_ready)

    assert np.ptp(logits) > 100 * TOLERANCE * np.abs(logits).max(), (
        "scores that hardly vary prove nothing"
    )


@pytest.mark.parametrize("case", decoder_cases.CASES)
def test_gradients_are_those_of_autograd(case, make_decoder, open_ready, tmp_path):
    from adam_reference import INVARIANT

    checkpoint, scoring = make_decoder(case=case), GRADIENTS_OF[case]
    bundle = export_gradients(
        checkpoint, tmp_path / "bundle", task=task_of(scoring), lengths=(TOKENS,), **PIECES
    )
    theirs = reference(checkpoint, bundle)
    inputs = opt_inputs(bundle, TOKENS, seed=4)
    check_scores(bundle, theirs.model, inputs, open_ready)
    expected = {name: g.numpy() for name, g in theirs.gradients(inputs).items()}
    scale = max(np.abs(gradient).max() for gradient in expected.values())
    for engine in ENGINES:
        actual = gradients_in(open_ready(bundle, engine), inputs, TOKENS)
        for name, gradient in expected.items():
            if name.endswith(INVARIANT) and np.abs(gradient).max() <= 1e-7 * scale:
                assert np.abs(actual[name]).max() <= 1e-6 * scale, name
            else:
                error = relative_error(actual[name], gradient)
                assert error <= GRADIENT_TOLERANCE, (name, engine)
