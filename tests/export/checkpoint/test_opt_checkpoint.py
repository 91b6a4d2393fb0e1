"""OPT checkpoints: what published ones call their tensors, when the head is tied, bad configs."""

import json

import pytest
from checkpoint_files import (
    assert_holds,
    edit_config,
    refusal,
    save_pickled,
    save_sharded_pickled,
    save_single,
    weights_of,
)

pytest_plugins = ["checkpoint_files"]

pytestmark = pytest.mark.desktop

EMBEDDINGS, LM_HEAD = "model.decoder.embed_tokens.weight", "lm_head.weight"


@pytest.fixture
def make_checkpoint(make_opt_checkpoint):
    """Makes an OPT where `source` and `tensors` would have a RoBERTa."""
    return make_opt_checkpoint


@pytest.mark.parametrize("save", [save_single, save_pickled, save_sharded_pickled])
def test_a_published_half_precision_checkpoint_gives_its_values(save, source, tensors):
    halves = {name: values.half() for name, values in tensors.items()}
    save(source, halves | {LM_HEAD: halves[EMBEDDINGS].clone()})

    weights = weights_of(source)

    assert weights.tied and weights.ignored == (LM_HEAD,)
    assert_holds(weights, halves)


def test_a_checkpoint_saved_without_its_lm_head_is_read_under_its_shorter_names(source, tensors):
    import torch

    shorter = {name.removeprefix("model."): values for name, values in tensors.items()}
    save_pickled(source, shorter | {"decoder.version": torch.tensor([3.0])})

    weights = weights_of(source)

    assert weights.tied
    assert_holds(weights, tensors)


def test_a_tied_checkpoint_may_hold_its_embeddings_as_the_lm_head_alone(source, tensors):
    renamed = {LM_HEAD if n == EMBEDDINGS else n: values for n, values in tensors.items()}
    save_single(source, renamed)

    weights = weights_of(source)

    assert weights.tied
    assert_holds(weights, tensors)


@pytest.mark.parametrize(
    "config, change, tied",
    [(True, 0.0, True), (True, 1e-3, False), (False, 0.0, False), (False, 1e-3, False)],
)
def test_the_head_is_tied_where_the_config_says_so_and_the_values_agree(
    config, change, tied, source, tensors
):
    edit_config(source, tie_word_embeddings=config)
    tensors[LM_HEAD] = tensors[EMBEDDINGS] + change
    save_single(source, tensors)

    weights = weights_of(source)

    assert weights.tied == tied
    assert_holds(weights, {n: v for n, v in tensors.items() if not (tied and n == LM_HEAD)})


def test_an_untied_checkpoint_without_its_head_is_refused(source, tensors):
    edit_config(source, tie_word_embeddings=False)
    save_single(source, tensors)
    message = refusal(weights_of, source)
    assert "config.json says tie_word_embeddings false, and the file holds one matrix" in message
    assert f"{EMBEDDINGS}, and no {LM_HEAD}: transformers would draw it at random" in message


def test_a_config_that_leaves_out_what_is_usual_is_read(source, tensors):
    save_single(source, tensors)
    usual = ("do_layer_norm_before", "_remove_final_layer_norm", "enable_bias",
             "layer_norm_elementwise_affine", "word_embed_proj_dim", "tie_word_embeddings",
             "activation_function", "pad_token_id")  # fmt: skip
    edit_config(source, **dict.fromkeys(usual, "absent"))
    assert json.loads((source / "config.json").read_text()).keys().isdisjoint(usual)
    assert_holds(weights_of(source), tensors)


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"activation_function": "mish"}, "activation_function is 'mish', implemented are gelu,"),
        ({"enable_bias": 1}, "enable_bias is 1, expected bool"),
        ({"do_layer_norm_before": "yes"}, "do_layer_norm_before is 'yes', expected bool"),
        ({"word_embed_proj_dim": 8}, "embed_tokens.weight is"),
        ({"num_attention_heads": 3}, "hidden_size 16 is not a multiple of num_attention_heads 3"),
        ({"ffn_dim": "absent"}, "fc1.weight is [24, 16], expected [3072, 16]"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is {'bits': 4}, only null"),
        ({"max_position_embeddings": 41}, "is [42, 16], expected [43, 16]"),
    ],
)
def test_a_config_that_is_not_implemented_or_not_the_weights_is_refused(
    changes, problem, source, tensors
):
    save_single(source, tensors)
    edit_config(source, **changes)
    assert problem in refusal(weights_of, source)
