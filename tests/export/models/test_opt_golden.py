"""OPT forward passes against transformers: every switch, scoring and bucket, padded rows."""

import numpy as np
import pytest
from forward import relative_error
from opt_forward import SCORINGS, opt_inputs, task_of
from tiny import OPT_WORDS

from pocketllm.runtime.contract import (
    GOLD,
    LOGITS,
    LOSS,
    OPTIONS,
    WEIGHT_SUM,
    WORDS,
    forward_loss_for,
)

TOLERANCE = 1e-5
POST_NORM = {"do_layer_norm_before": False, "word_embed_proj_dim": 8}  # as opt-350m
BARE = {"enable_bias": False, "layer_norm_elementwise_affine": False}
# name: (changes of the checkpoint, settings of the export); three scorings of each.
CASES = {
    "published": ({}, {}),
    "chunks_and_slices": (
        {},
        {"chunk_values": 16 * 70, "linear_values": 16 * 7, "slice_bytes": 8192},
    ),
    "opt_350m": (POST_NORM, {"chunk_values": 8 * 100}),
    "wider_embeddings": ({"word_embed_proj_dim": 20, "num_attention_heads": 1}, {}),
    "bare": (BARE, {}),
    "bare_post_norm": (BARE | {"do_layer_norm_before": False}, {}),
    "no_final_norm": ({"_remove_final_layer_norm": True, "num_hidden_layers": 1}, {}),
    "untied": ({"tied": False, "num_attention_heads": 4}, {"chunk_values": 16 * 90}),
    "untied_projected": ({"tied": False, **POST_NORM}, {}),
    "gelu": ({"activation_function": "gelu", "num_hidden_layers": 3}, {}),
    "gelu_new": ({"activation_function": "gelu_new"}, {}),
    "silu": ({"activation_function": "silu", "ffn_dim": 7}, {}),
    "tanh": ({"activation_function": "tanh"}, {}),
}
# Switches inside a layer, which no scoring sees: their other scorings are among the slow tests.
OF_LAYERS = ("bare", "bare_post_norm", "no_final_norm", "gelu_new", "silu", "tanh")
SCORED = [
    pytest.param(
        case,
        scoring,
        marks=[pytest.mark.slow] if case in OF_LAYERS and scoring != WORDS else [],
    )
    for case in CASES
    for scoring in SCORINGS
]


def reference(model, bundle, inputs):
    """Returns (loss, logits [2, C], weight_sum) of PyTorch as numbers."""
    import torch
    from opt_forward import torch_scores

    with torch.no_grad():
        loss, logits, weight_sum = torch_scores(model, bundle, inputs)
    return float(loss), logits.numpy(), float(weight_sum)


@pytest.mark.desktop
@pytest.mark.parametrize(("case", "scoring"), SCORED)
def test_losses_and_scores_are_those_of_transformers(
    case, scoring, make_opt_checkpoint, make_bundle, open_ready
):
    from conftest import ENGINES
    from opt_torch_reference import load

    changes, settings = CASES[case]
    checkpoint = make_opt_checkpoint(**changes)
    bundle = make_bundle(checkpoint, task=task_of(scoring), lengths=(9, 16), **settings)
    assert bundle.scoring == scoring and bundle.tied_decoder == changes.get("tied", True)
    model = load(checkpoint)
    models = [open_ready(bundle, engine) for engine in ENGINES]
    seen = []
    for tokens in bundle.lengths:
        inputs = opt_inputs(bundle, tokens, seed=3)
        loss, logits, weight_sum = reference(model, bundle, inputs)
        seen += logits.ravel().tolist()
        for ours in models:
            actual = ours.engine.run(forward_loss_for(tokens), **inputs)
            assert relative_error(actual[LOSS], [loss]) <= TOLERANCE
            assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE
            assert actual[WEIGHT_SUM] == [weight_sum]
            assert np.isfinite(actual[LOGITS]).all()
    assert np.ptp(seen) > 0.3, "scores that hardly vary prove nothing"


@pytest.mark.desktop
@pytest.mark.parametrize("scoring", SCORINGS)
def test_long_rows_attend_block_by_block_to_the_same_result(
    scoring, engine, make_opt_checkpoint, make_bundle, open_ready
):
    from opt_torch_reference import load

    from pocketllm.export.graph.causal import ATTENTION_BLOCK

    tokens = 2 * ATTENTION_BLOCK + 40
    checkpoint = make_opt_checkpoint(max_position_embeddings=tokens + 10)
    bundle = make_bundle(checkpoint, task=task_of(scoring), lengths=(tokens,))
    inputs = opt_inputs(bundle, tokens, seed=4)
    loss, logits, _ = reference(load(checkpoint), bundle, inputs)

    actual = open_ready(bundle, engine).engine.run(forward_loss_for(tokens), **inputs)

    assert relative_error(actual[LOSS], [loss]) <= TOLERANCE
    assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE


@pytest.mark.desktop
@pytest.mark.parametrize("scoring", SCORINGS)
def test_padding_on_the_left_gives_the_same_scores(
    scoring, engine, make_opt_checkpoint, make_bundle, open_ready
):
    bundle = make_bundle(make_opt_checkpoint(), task=task_of(scoring), lengths=(9, 16))
    model = open_ready(bundle, engine)
    inputs = opt_inputs(bundle, 16, seed=5)
    shifts = 16 - inputs["attention_mask"].sum(1)
    moved = dict(inputs)
    for name in ("input_ids", "attention_mask"):
        moved[name] = np.stack([np.roll(row, by) for row, by in zip(inputs[name], shifts)])
    for name in {"last_position", "option_start"} & inputs.keys():
        moved[name] = (inputs[name] + shifts).astype(np.int32)

    right, left = (model.engine.run(forward_loss_for(16), **variant) for variant in (inputs, moved))

    assert shifts.max() > 0
    for name in (LOSS, LOGITS):
        assert relative_error(left[name], right[name]) <= 1e-6


@pytest.mark.desktop
@pytest.mark.parametrize("scoring", SCORINGS)
def test_filler_rows_of_options_change_nothing(
    scoring, engine, make_opt_checkpoint, make_bundle, open_ready
):
    bundle = make_bundle(make_opt_checkpoint(), task=task_of(scoring), lengths=(9, 16))
    model = open_ready(bundle, engine)
    inputs = opt_inputs(bundle, 9, seed=6)
    expected = model.engine.run(forward_loss_for(9), **inputs)
    other = {name: values.copy() for name, values in inputs.items()}
    each = len(inputs["input_ids"]) // 3
    other["input_ids"][2 * each :] = 7

    actual = model.engine.run(forward_loss_for(9), **other)

    np.testing.assert_array_equal(actual[LOSS], expected[LOSS])
    np.testing.assert_array_equal(actual[LOGITS][:2], expected[LOGITS][:2])
    assert (actual[LOGITS][2] != expected[LOGITS][2]).any(), "the row itself was computed"
    weightless = model.engine.run(
        forward_loss_for(9), **inputs | {"weight": np.zeros(3, np.float32)}
    )
    assert (weightless[LOSS], weightless[WEIGHT_SUM]) == ([0], [0])


@pytest.mark.desktop
def test_the_cases_cover_one_token_words_and_options_of_several_tokens(
    make_opt_checkpoint, make_bundle
):
    bundles = {
        scoring: make_bundle(make_opt_checkpoint(), task=task_of(scoring), lengths=(9, 16))
        for scoring in SCORINGS
    }
    assert len(bundles[WORDS].word_ids) == len(OPT_WORDS)
    assert bundles[OPTIONS].option_tokens > 2 and bundles[GOLD].option_tokens > 16
    for scoring, bundle in bundles.items():
        sequences = 9 if scoring == OPTIONS else 3
        shape = bundle.signatures[forward_loss_for(9)]["inputs"]["input_ids"][1]
        assert shape == [sequences, 9]
