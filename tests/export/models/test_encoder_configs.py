"""Encoders: config.json's defaults, and what is refused in one line."""

import json

import encoder_cases
import numpy as np
import pytest
from checkpoint_files import refusal

from pocketllm.export.checkpoint.reader import open_checkpoint
from pocketllm.export.models import ARCHITECTURES, architecture_in, model_config
from pocketllm.export.weights.weights import checkpoint_weights

pytestmark = pytest.mark.desktop

MODEL_TYPES = list(encoder_cases.SIZES)
# Model type: {names of ours: transformers' attribute}, where they differ.
OTHER_NAMES = {
    "distilbert": {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
    }
}
OURS_ALONE = {"distilbert": {"type_vocab_size": None, "layer_norm_eps": 1e-12}}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_what_a_config_leaves_out_is_transformers_default(model_type):
    import transformers

    theirs = getattr(transformers, ARCHITECTURES[model_type].hf_class).config_class()
    ours = model_config({"model_type": model_type}, "config.json")

    names, alone = OTHER_NAMES.get(model_type, {}), OURS_ALONE.get(model_type, {})
    for name, value in vars(ours).items():
        if name in alone:
            assert value == alone[name]
        elif name == "rope_parameters":
            for kind, rope in value.items():
                assert rope.rope_theta == theirs.rope_parameters[kind]["rope_theta"]
        else:
            expected = getattr(theirs, names.get(name, name))
            assert value == (tuple(expected) if isinstance(expected, list) else expected), name
    assert ours.max_tokens == theirs.max_position_embeddings


def test_a_local_theta_of_null_is_the_global_one_as_in_version_4():
    values = {"model_type": "modernbert", "local_rope_theta": None, "global_rope_theta": 50.0}
    ropes = model_config(values, "config.json").rope_parameters

    assert {rope.rope_theta for rope in ropes.values()} == {50.0}


@pytest.mark.parametrize(
    ("model_type", "changes", "parts"),
    [
        ("bert", {"position_embedding_type": "relative_key"}, ["position_embedding_type is"]),
        ("bert", {"is_decoder": True}, ["is_decoder is True, only False is implemented"]),
        ("bert", {"hidden_act": "mish"}, ["hidden_act is 'mish', implemented are gelu"]),
        ("bert", {"num_attention_heads": 5}, ["hidden_size 768", "num_attention_heads 5"]),
        ("bert", {"type_vocab_size": 0}, ["type_vocab_size is 0, expected a positive number"]),
        ("distilbert", {"activation": "mish"}, ["activation is 'mish', implemented are gelu"]),
        ("distilbert", {"n_heads": 5}, ["dim 768 is not a multiple of n_heads 5"]),
        ("distilbert", {"dim": "768"}, ["dim is '768'"]),
        ("modernbert", {"layer_types": ["full_attention"]}, ["layer_types is", "22 layers"]),
        ("modernbert", {"layer_types": ["chunked"] * 22}, ["layer_types is", "sliding_attention"]),
        ("modernbert", {"hidden_activation": "mish"}, ["hidden_activation is 'mish'"]),
        ("modernbert", {"classifier_activation": "mish"}, ["classifier_activation is 'mish'"]),
        ("modernbert", {"rope_scaling": {"rope_type": "dynamic"}}, ["rope_type is 'dynamic'"]),
        ("modernbert", {"hidden_size": 36, "num_attention_heads": 4}, ["odd width"]),
        ("modernbert", {"rope_parameters": []}, ["rope_parameters"]),
    ],
)
def test_a_config_that_is_not_implemented_is_refused(model_type, changes, parts):
    values = {"model_type": model_type} | changes
    message = refusal(model_config, values, "config.json")

    assert message.startswith("config.json: ") and all(part in message for part in parts)


@pytest.mark.parametrize("model_type", ["mobilebert", "electra", "deberta-v2", "albert"])
def test_other_encoders_are_refused_by_name(model_type):
    message = refusal(architecture_in, {"model_type": model_type}, "config.json")

    assert f"model_type is {model_type!r}, implemented are bert, distilbert" in message


def weights_of(folder):
    values = json.loads((folder / "config.json").read_text())
    return checkpoint_weights(model_config(values, str(folder)), open_checkpoint(folder))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("prefixed", [True, False])
def test_an_encoder_without_its_head_is_refused(model_type, prefixed, tmp_path):
    """Sentence encoders are published so: the base model alone, its names without a prefix."""
    from safetensors.numpy import load_file, save_file

    folder = encoder_cases.write(tmp_path / "source", model_type)
    names, path = ARCHITECTURES[model_type].names, folder / "model.safetensors"
    tensors = {
        name if prefixed else name.removeprefix(names.base): values
        for name, values in load_file(path).items()
        if not names.in_head(name)
    }
    save_file(tensors | {"pooler.dense.weight": np.ones((16, 16), np.float32)}, path)

    message = refusal(weights_of, folder)

    assert "no language-modelling head (" in message
    assert f"give a checkpoint of {ARCHITECTURES[model_type].hf_class}" in message


def test_a_classifier_with_a_module_called_head_is_refused_as_one(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = encoder_cases.write(tmp_path / "source", "modernbert")
    path = folder / "model.safetensors"
    tensors = {n: v for n, v in load_file(path).items() if not n.startswith("decoder.")}
    save_file(tensors | {"classifier.weight": np.ones((2, 16), np.float32)}, path)

    message = refusal(weights_of, folder)

    assert "no language-modelling head (decoder.bias, …)" in message
    assert message.endswith("give a checkpoint of ModernBertForMaskedLM")
