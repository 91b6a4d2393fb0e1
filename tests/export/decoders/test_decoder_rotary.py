"""Tables of rotary positions against those of transformers, at positions where rounding shows."""

import copy

import numpy as np
import pytest
from test_decoder_configs import BASE

pytestmark = pytest.mark.desktop

ROWS = 2048
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 32.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
}  # fmt: skip
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 512,
}
ROPES = {
    "default": {"rope_type": "default", "rope_theta": 1e6},
    "linear": {"rope_type": "linear", "rope_theta": 1e4, "factor": 8.0},
    "llama3": LLAMA3,
    "yarn": YARN,
    "yarn's scales": YARN | {"mscale": 0.7, "mscale_all_dim": 1.3},
    "one of yarn's scales": YARN | {"mscale": 0.7},
    "yarn's attention": YARN | {"attention_factor": 1.5},
    "yarn's bounds as they are": YARN | {"truncate": False},
    "yarn's rotations": YARN | {"beta_fast": 20, "beta_slow": 2},
    "yarn of few positions": YARN | {"original_max_position_embeddings": 16},
    "yarn without a stretch": YARN | {"factor": 1.0},
}


@pytest.mark.parametrize("kind", ROPES)
def test_cosines_and_sines_are_those_of_transformers(kind):
    import torch
    from transformers import AutoConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    from pocketllm.export.graph.rotary import rotary_tables
    from pocketllm.export.models import model_config

    sizes = {"head_dim": 128, "max_position_embeddings": 4096}
    values = {"model_type": "llama", **BASE, **sizes, "rope_parameters": ROPES[kind]}
    theirs = LlamaRotaryEmbedding(AutoConfig.for_model(**copy.deepcopy(values)))
    expected = theirs(torch.zeros(1), torch.arange(ROWS)[None])
    rope = model_config(values, "config.json").rope_parameters["full_attention"]

    cos, sin = rotary_tables(rope, 0, ROWS, 128)

    sin[:, :64] *= -1
    for actual, table in zip((cos, sin), expected):
        assert np.abs(actual - table[0].numpy()).max() <= 1e-6 * np.abs(actual).max()
