"""SmolLM2 as transformers reads its GGUF file: a checkpoint folder, per-token log-probabilities."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def loaded(gguf: Path):
    """Returns the model with dequantised float32 weights."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def log_probabilities(gguf: Path, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Returns for each sequence those of its tokens but the first, in nats, [T - 1] float64."""
    import torch

    model, results = loaded(gguf), []
    with torch.no_grad():
        for ids in sequences:
            logits = model(torch.tensor([ids]), use_cache=False).logits[0, :-1].double()
            targets = torch.tensor(ids[1:])[:, None]
            results.append(torch.log_softmax(logits, -1).gather(1, targets)[:, 0].numpy().copy())
    return results


def token_ids(gguf: Path, texts: Sequence[str], specials: bool) -> list[list[int]]:
    """Returns the ids of texts; `specials` says whether a special token's spelling is one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    settings = {"add_special_tokens": False, "split_special_tokens": not specials}
    return [tokenizer(text, **settings).input_ids for text in texts]
