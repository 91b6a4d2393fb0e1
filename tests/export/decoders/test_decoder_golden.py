"""Decoders against transformers, exported and delegated: losses, scores, gradients, in float64."""

import decoder_cases
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from conftest import ENGINES
from forward import relative_error
from gradients import TOLERANCE as GRADIENT_TOLERANCE
from gradients import export_gradients, gradients_in
from opt_forward import opt_inputs, score_arrays, task_of
from small_runs import rows, run_config, write_tsv
from trajectory import check, compare

from pocketllm.runtime.contract import (
    GOLD,
    LOGITS,
    LOSS,
    OPTIONS,
    WEIGHT_SUM,
    WORDS,
    forward_loss_for,
)
from pocketllm.runtime.data.dataset import load_dataset

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5
TOKENS = 140  # two blocks of attention, and more than any window
LENGTHS = (24, TOKENS)
# case: the scoring that gradients are taken of. Words are trained by MeZO, the other one is scored.
GRADIENTS_OF = dict(zip(decoder_cases.CASES, (OPTIONS, GOLD) * len(decoder_cases.CASES)))
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


@pytest.mark.parametrize("case", decoder_cases.CASES)
def test_losses_and_scores_are_those_of_transformers(case, make_decoder, make_bundle, open_ready):
    checkpoint, scoring = make_decoder(case=case), GOLD
    if GRADIENTS_OF[case] == GOLD:
        scoring = OPTIONS
    bundle = make_bundle(checkpoint, task=task_of(scoring), lengths=(TOKENS,), **PIECES)
    assert bundle.scoring == scoring and bundle.architecture == bundle.config["model_type"]
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
    check_no_logits_of_all_tokens(bundle)


def check_no_logits_of_all_tokens(bundle):
    """Asserts that no tensor of any signature spans the vocabulary, which lies in three chunks."""
    vocabulary = bundle.config["vocab_size"]
    data = bundle.model_path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    head = [p for p in bundle.parameters if p.shape[0] == vocabulary]
    assert head and all(len(parameter.variables) == 3 for parameter in head)
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            assert vocabulary not in list(tensor.shape), (subgraph.name, tensor.name)
            sizes = np.prod(tensor.shape), np.prod(tensor.shape[:-1])
            assert sizes[0] != sizes[1] * vocabulary


@pytest.mark.parametrize("case", decoder_cases.CASES)
def test_twenty_mezo_steps_on_words_follow_pytorch(
    case, make_decoder, make_bundle, open_ready, tmp_path
):
    checkpoint = make_decoder(case=case)
    bundle = make_bundle(checkpoint, lengths=LENGTHS, **PIECES)
    assert bundle.scoring == WORDS
    inputs = opt_inputs(bundle, TOKENS, seed=3)
    check_scores(bundle, reference(checkpoint, bundle).model, inputs, open_ready)

    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    hyper = {"lr": 1e-3, "eps": 1e-2, "batch_size": 7, "seed": 3, "weight_decay": 0.2}
    config = run_config(bundle, data, steps=20, **hyper)
    # The arithmetic of a step is one for all models: each engine takes every second one's.
    engine = ENGINES[list(decoder_cases.CASES).index(case) % len(ENGINES)]
    model = open_ready(bundle, engine)
    check(compare(bundle, checkpoint, data, config, model=model, folder=tmp_path / "run"))
