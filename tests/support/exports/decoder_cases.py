"""Decoders with rotary positions to compare with transformers: a row a model, every option on.

Every weight is random, biases and norms too: at their initial values a graph that forgot them would
pass. A new architecture is one more row.
"""

import copy
import json
from pathlib import Path

import tiny

# Positions for rows of two blocks of attention; ids of the tokenizer that `write` writes.
COMMON = {
    "hidden_size": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 1,
    "bos_token_id": None,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 100.0, "factor": 4.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
}  # fmt: skip
YARN = {
    "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
    "original_max_position_embeddings": 512,
}  # fmt: skip
GEMMA_ROPES = {
    "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
}
GEMMA_LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
# name: values of config.json beside COMMON. Of the frequencies of `llama_wide` one is kept, one
# blended, two are stretched; of those of `llama_yarn` one is blended.
CASES = {
    "llama": {"model_type": "llama", "tie_word_embeddings": True},
    "llama_wide": {
        "model_type": "llama", "num_key_value_heads": 1, "head_dim": 8, "attention_bias": True,
        "mlp_bias": True, "tie_word_embeddings": False, "rope_parameters": LLAMA3,
    },
    "llama_linear": {
        "model_type": "llama", "num_key_value_heads": 4, "tie_word_embeddings": True,
        "rope_theta": 1000.0, "rope_scaling": {"type": "linear", "factor": 2.0},
    },
    "llama_yarn": {
        "model_type": "llama", "head_dim": 8, "num_key_value_heads": 4,
        "tie_word_embeddings": False, "rope_parameters": YARN,
    },
    "qwen2": {
        "model_type": "qwen2", "use_sliding_window": True,
        "sliding_window": 5, "max_window_layers": 1, "tie_word_embeddings": False,
    },
    "qwen3": {
        "model_type": "qwen3", "head_dim": 8, "attention_bias": True,
        "tie_word_embeddings": True,
    },
    "gemma3": {
        "model_type": "gemma3_text", "num_hidden_layers": 3, "num_key_value_heads": 1,
        "head_dim": 8, "layer_types": GEMMA_LAYERS, "sliding_window": 4,
        "query_pre_attn_scalar": 5, "final_logit_softcapping": 3.0,
        "rope_parameters": GEMMA_ROPES,
    },
    "gemma3_v4": {
        "model_type": "gemma3_text", "num_key_value_heads": 1,
        "head_dim": 8, "sliding_window_pattern": 2, "sliding_window": 4, "rope_theta": 10000.0,
        "rope_local_base_freq": 100.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0},
    },
    "smollm3": {
        "model_type": "smollm3", "num_hidden_layers": 3, "no_rope_layers": [0, 1, 0],
        "use_sliding_window": True, "sliding_window": 4,
    },
}  # fmt: skip


def config_values(case: str, vocab_size: int, **changes) -> dict:
    """Returns config.json of a case, as it is spelled above, with some keys changed."""
    return copy.deepcopy({"vocab_size": vocab_size} | COMMON | CASES[case] | changes)


def write(folder: Path, case: str, seed: int = 0, **changes) -> Path:
    """Saves a causal language model through transformers, with a tokenizer.json.

    config.json is as transformers saves it, in the spelling of version 5.

    Args:
      folder: made here.
      case: one of CASES.
      seed: of the weights.
      changes: of its values.
    """
    folder.mkdir(parents=True)
    values = config_values(case, write_tokenizer(folder), **changes)
    tiny.save_random(causal_model(values), folder, seed)
    return folder


def write_gemma3(folder: Path, seed: int = 0) -> Path:
    """Saves a Gemma 3 of text and images, its text part that of the case without a softcap."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    folder.mkdir(parents=True)
    text = config_values("gemma3", write_tokenizer(folder), final_logit_softcapping=None)
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 8, "intermediate_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 4, "patch_size": 2,
    }  # fmt: skip
    image_tokens = {"boi_token_index": 60, "eoi_token_index": 61, "image_token_index": 62}
    config = Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4, **image_tokens
    )
    tiny.save_random(Gemma3ForConditionalGeneration(config), folder, seed)
    return folder


def causal_model(values: dict):
    """Returns transformers' model of a config.json, with the weights that it starts with."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**copy.deepcopy(values))
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager")


def write_tokenizer(folder: Path) -> int:
    """Writes a byte-level tokenizer without a token in front; returns the vocabulary's size."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    size = tiny.write_tokenizer(folder, tiny.WORDS + tiny.OPT_WORDS)
    files = folder / "vocab.json", folder / "merges.txt"
    tokenizer = Tokenizer(models.BPE.from_file(*map(str, files)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token) for token in tiny.SPECIAL_TOKENS])
    tokenizer.save(str(folder / "tokenizer.json"))
    for path in files:
        path.unlink()
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>"
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return size
