"""SmolLM2 as transformers reads its GGUF file, or a checkpoint: log-probabilities, ids, texts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def loaded(source: Path):
    """Returns the model of a GGUF file, dequantised, or of a checkpoint's folder; in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    folder, file = (source, None) if source.is_dir() else (source.parent, source.name)
    return AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, dtype=torch.float32, attn_implementation="eager"
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


def differences(
    source: Path, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]]
) -> list[float | None]:
    """Compares texts with transformers' greedy ones.

    Args:
      source: the weights, as of `loaded`.
      prompts: ids.
      texts: the new ids behind each, as many as transformers is to write.

    Returns:
      For each text None where it is the same, otherwise the gap of the logits, where the two part,
      between transformers' token and the text's.
    """
    import torch

    model, gaps = loaded(source), []
    for ids, text in zip(prompts, texts):
        row = torch.tensor([list(ids)])
        with torch.no_grad():
            both = model.generate(
                row, attention_mask=torch.ones_like(row), max_new_tokens=len(text),
                do_sample=False, repetition_penalty=1.0,
            )  # fmt: skip
        theirs = both[0, len(ids) :].tolist()
        if theirs == list(text):
            gaps.append(None)
            continue
        pairs = enumerate(zip(theirs, text))
        place = next((n for n, (a, b) in pairs if a != b), None)
        if place is None:  # one ended where the other goes on
            gaps.append(float("inf"))
            continue
        with torch.no_grad():
            logits = model(torch.tensor([[*ids, *theirs[:place]]])).logits[0, -1].double()
        gaps.append(float(logits[theirs[place]] - logits[text[place]]))
    return gaps
