"""Checkpoints of transformers for llama.cpp: tiny, random, with byte-level tokenizers."""

import sys
from importlib import import_module
from pathlib import Path

import tiny
from decoder_cases import LLAMA3
from gguf_files import TINY_SIZES, files_of, write_plain_llama

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "llama_cpp"
# Widths are multiples of Q8_0's block of 32.
SIZES = TINY_SIZES | {
    "hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 256,
}  # fmt: skip
# Name -> (llama.cpp's name of how texts are cut, config.json's values beside SIZES).
CASES = {
    "llama, as SmolLM2": ("smollm", {"model_type": "llama", "tie_word_embeddings": True}),
    "llama, as Llama 3.2": (
        "llama-bpe",
        {"model_type": "llama", "tie_word_embeddings": True, "head_dim": 32}
        | {"rope_parameters": LLAMA3},
    ),
    "llama, untied and biased": (
        "gpt-2",
        {"model_type": "llama", "tie_word_embeddings": False, "num_key_value_heads": 1}
        | {"attention_bias": True, "mlp_bias": True},
    ),
    "llama, linear rope": (
        "smollm",
        {"model_type": "llama", "tie_word_embeddings": True}
        | {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "qwen2": ("qwen2", {"model_type": "qwen2", "tie_word_embeddings": False}),
    "qwen3": ("qwen2", {"model_type": "qwen3", "tie_word_embeddings": True, "head_dim": 32}),
}


def write(folder: Path, case: str, **changes) -> Path:
    """Saves a checkpoint.

    Args:
      folder: made here.
      case: one of CASES.
      changes: of config.json.
    """
    from decoder_cases import causal_model

    pre, values = CASES[case]
    folder.mkdir(parents=True)
    tiny.save_random(causal_model(SIZES | values | changes), folder, seed=0)
    beside = folder / "tokenizer.gguf"
    write_plain_llama(beside, {"tokenizer.ggml.pre": pre, "tokenizer.ggml.add_bos_token": None})
    for name, data in files_of(beside).items():
        if name.startswith("tokenizer"):
            (folder / name).write_bytes(data)
    beside.unlink()
    return folder


def example(name: str):
    """Returns a module of the example, which is no part of a package."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(EXAMPLES))
