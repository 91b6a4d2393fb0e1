"""Odd files of decoders: the logits of transformers."""

import numpy as np
import pytest
from desktop_child import in_child

pytestmark = pytest.mark.desktop

# transformers rotates in float32, whatever the weights are.
TOLERANCE = 1e-5

EMBEDDINGS, LM_HEAD = "model.embed_tokens.weight", "lm_head.weight"
ABSENT = (
    "bos_token_id", "eos_token_id", "use_cache", "transformers_version", "dtype",
    "attention_dropout", "initializer_range", "hidden_act", "rms_norm_eps", "attention_bias",
    "mlp_bias", "tie_word_embeddings", "rope_parameters", "layer_types", "pad_token_id",
)  # fmt: skip
MINIMAL = dict.fromkeys(ABSENT, "absent")
FREQUENCIES = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": (2,) for i in range(2)}
# Every decoder has these; `llama` and `qwen3` are tied, `llama_wide` and `qwen2` are not.
COMMON = {
    "as saved": {},
    "in two files": {"sharded": True},
    "float16": {"dtype": "float16"},
    "bfloat16 in two files": {"dtype": "bfloat16", "sharded": True},
}
OWN = {
    "llama": {
        "a config of sizes alone": {"config": {"tie_word_embeddings": False}, "file": MINIMAL},
        "null heads of keys": {
            "config": {"num_key_value_heads": 4}, "file": {"num_key_value_heads": None}
        },
        "null width of heads": {"file": {"head_dim": None}},
        "frequencies of old files": {"extra": FREQUENCIES},
        "tied, with a second copy": {"copies": {EMBEDDINGS: LM_HEAD}},
        "tied, under the head's name": {"names": {EMBEDDINGS: LM_HEAD}},
        "tied, but two matrices": {
            "config": {"tie_word_embeddings": False}, "file": {"tie_word_embeddings": True}
        },
        "tied, two matrices in float16": {
            "config": {"tie_word_embeddings": False}, "file": {"tie_word_embeddings": True},
            "dtype": "float16",
        },
        "pickled": {"pickled": True},
        "a layer more than the config says": {"file": {"num_hidden_layers": 1}},
        "a score": {"extra": {"score.weight": (2, 16)}},
        "module.": {"names": {"model.": "module.model."}, "foreign": True},
        "the base without its prefix": {"names": {"model.": ""}, "foreign": True},
        "relu": {"config": {"hidden_act": "relu"}},
        "yarn and half of everything": {
            "config": {"head_dim": 8, "rope_parameters": {
                "rope_type": "yarn", "rope_theta": 100.0, "factor": 2.0, "truncate": False,
                "original_max_position_embeddings": 64, "mscale": 0.7, "mscale_all_dim": 1.3,
                "beta_fast": 4, "beta_slow": 1}}
        },
        "yarn's attention factor": {
            "config": {"rope_parameters": {
                "rope_type": "yarn", "rope_theta": 100.0, "factor": 2.0, "attention_factor": 1.7,
                "original_max_position_embeddings": 64}}
        },
    },
    "qwen2": {
        "a null window": {"file": {"sliding_window": None, "layer_types": "absent"}},
        "a config of sizes alone": {
            "config": {"use_sliding_window": False}, "file": MINIMAL
        },
        "tied": {"config": {"tie_word_embeddings": True}},
    },
    "qwen3": {
        "tied, with a second copy": {"copies": {EMBEDDINGS: LM_HEAD}},
        "width of heads that do not divide": {
            "config": {"hidden_size": 20, "num_attention_heads": 3, "num_key_value_heads": 3}
        },
        "without biases": {"config": {"attention_bias": False}},
    },
    "gemma3": {
        "a config of sizes alone": {
            "config": {"layer_types": None, "rope_parameters": None}, "file": MINIMAL
        },
        "biases": {"config": {"attention_bias": True}},
        "tied, with a second copy": {"copies": {EMBEDDINGS: LM_HEAD}},
        "tied, but two matrices": {
            "config": {"tie_word_embeddings": False}, "file": {"tie_word_embeddings": True}
        },
    },
    "smollm3": {
        "a config of sizes alone": {
            "config": {"no_rope_layers": None, "use_sliding_window": False},
            "file": MINIMAL | {"no_rope_layers": "absent", "pad_token_id": 1},
        },
        "biases": {"config": {"attention_bias": True, "mlp_bias": True}},
    },
}  # fmt: skip
CASES = [(case, name) for case in ("llama", "qwen2", "gemma3") for name in COMMON]
CASES += [(case, name) for case, own in OWN.items() for name in own]


@pytest.mark.parametrize("case, name", CASES)
def test_logits_are_those_of_transformers(case, name, tmp_path):
    odd = COMMON.get(name) or OWN[case].get(name, {})

    ours, theirs = in_child("odd_checkpoints.compare", tmp_path / "odd", case, odd)

    assert np.ptp(theirs) > 0.5, "logits that hardly vary prove nothing"
    assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()
