"""Tiny decoders with random weights, each with a tokenizer of a make of todays_tokenizers.py."""

from pathlib import Path

import tiny
from todays_tokenizers import MAKES, rows_of, write_make

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 24,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


def write(folder: Path, make: str, seed: int = 0, **settings) -> Path:
    """Saves a causal language model through transformers, and a make's tokenizer beside it.

    Args:
      folder: made here.
      make: of MAKES.
      seed: of the weights.
      settings: of tokenizer_config.json.
    """
    import transformers

    from pocketllm.export.models import ARCHITECTURES

    write_make(folder, make, **settings)
    kind = getattr(transformers, ARCHITECTURES[MAKES[make][0]].hf_class)
    # No row of the table is a pad's: torch would give it no gradient.
    config = kind.config_class(vocab_size=rows_of(make), pad_token_id=None, **SIZES)
    tiny.save_random(kind(config), folder, seed)
    return folder
