"""Models out of GGUF files give the logits of the models that the files were made of."""

import json

import numpy as np
import pytest
from decoder_cases import LLAMA3
from gguf_files import TINY_SIZES, save_as_gguf

pytestmark = pytest.mark.desktop
CASES = {
    "llama": ("llama", "Llama", {"tie_word_embeddings": True}),
    "llama of its own head width, biased, untied, Llama 3's rope": (
        "llama",
        "Llama",
        {"num_key_value_heads": 1, "head_dim": 16, "attention_bias": True, "mlp_bias": True}
        | {"tie_word_embeddings": False, "rope_parameters": LLAMA3},
    ),
    "llama with linear rope": (
        "llama",
        "Llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "llama with YaRN": (
        "llama",
        "Llama",
        {
            "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}
            | {"original_max_position_embeddings": 512},
        },
    ),
    "qwen2": ("qwen2", "Qwen2", {"tie_word_embeddings": True}),
    "qwen3 of its own head width, biased": (
        "qwen3",
        "Qwen3",
        {"head_dim": 16, "attention_bias": True, "tie_word_embeddings": False},
    ),
    "gemma3": (
        "gemma3",
        "Gemma3Text",
        {"head_dim": 16, "num_hidden_layers": 7, "sliding_window": 4}
        | {"query_pre_attn_scalar": 16, "final_logit_softcapping": 3.0}
        | {
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            }
        },
    ),
}
# What transformers does not read of a file: kinds of rope, a head's width, YaRN.
OURS_ALONE = ("Llama 3's", "linear", "YaRN", "gemma3", "qwen3")


def tiny_model(family, settings):
    """Returns a random model of transformers in float32; every vector is far from its usual."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**TINY_SIZES | settings)
    config._attn_implementation = "eager"
    name = f"{family.removesuffix('Text')}ForCausalLM"
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            spread = 0.3 if values.ndim == 1 else 0.2
            around = 1.0 if name.endswith("norm.weight") and family != "Gemma3Text" else 0.0
            values.copy_(torch.randn(values.shape) * spread + around)
    return model


def written(path, folder):
    """Writes what we read of a GGUF file as a checkpoint; returns config.json's contents."""
    from safetensors.numpy import save_file

    from pocketllm.export.checkpoint.gguf.model import read_gguf

    folder.mkdir()
    model = read_gguf(path)
    for name, data in model.files.items():
        (folder / name).write_bytes(data)
    weights = model.open_weights()
    tensors = {name: weights.read(name) for name in weights.shapes}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return json.loads(model.files["config.json"])


def logits(model):
    import torch

    ids = torch.arange(60).reshape(2, 30) % model.config.vocab_size
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits.numpy()


def loaded(folder, **options):
    """Loads a checkpoint in transformers; no tensor may be missing or left over."""
    import torch
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
        **options,
    )
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    return model


@pytest.mark.parametrize("case", CASES)
def test_a_model_has_the_logits_of_its_source(case, tmp_path):
    from pocketllm.export.models import model_config

    architecture, family, settings = CASES[case]
    model = tiny_model(family, settings)
    save_as_gguf(model, tmp_path / "tiny.gguf", architecture)
    config = written(tmp_path / "tiny.gguf", tmp_path / "out")
    model_config(config, "config.json")  # ours reads it too
    expected = logits(model)
    difference = np.abs(logits(loaded(tmp_path / "out")) - expected).max()
    assert difference <= 1e-5 * np.abs(expected).max()
    if not any(word in case for word in OURS_ALONE):
        theirs = logits(loaded(tmp_path, gguf_file="tiny.gguf"))
        assert np.abs(theirs - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_a_quantised_model_has_the_logits_that_transformers_gives_it(kind, tmp_path):
    model = tiny_model("Llama", {"tie_word_embeddings": True})
    save_as_gguf(model, tmp_path / "tiny.gguf", "llama", kind)
    written(tmp_path / "tiny.gguf", tmp_path / "out")
    expected = logits(loaded(tmp_path, gguf_file="tiny.gguf"))
    difference = np.abs(logits(loaded(tmp_path / "out")) - expected).max()
    assert difference <= 1e-5 * np.abs(expected).max()
