"""Forward passes to compare: inputs of a bundle's signatures, and what PyTorch makes of them."""

from pathlib import Path

import numpy as np

PAD, FIRST_BYTE = 1, 4


def forward_inputs(tokens: int, vocab_size: int, seed: int) -> dict[str, np.ndarray]:
    """Returns inputs [3, tokens]: a full row, a padded row of weight 2, and a filler row."""
    rng = np.random.default_rng([seed, tokens])
    ids = rng.integers(FIRST_BYTE, vocab_size, (3, tokens)).astype(np.int32)
    lengths = [tokens, tokens - 3, 0]
    mask = (np.arange(tokens) < np.array(lengths)[:, None]).astype(np.int32)
    ids[mask == 0] = PAD
    mask[2, 0] = 1  # as the runtime fills
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "mask_position": np.array([tokens - 2, 1, 0], np.int32),
        "label": np.array([1, 0, 0], np.int32),
        "weight": np.array([1, 2, 0], np.float32),
    }


def torch_forward(checkpoint: Path, inputs: dict, word_ids) -> tuple[np.ndarray, np.ndarray]:
    """Computes loss [1] and logits [rows of weight > 0, C] with transformers, in float64."""
    from transformers import RobertaForMaskedLM

    model = RobertaForMaskedLM.from_pretrained(checkpoint, attn_implementation="eager")
    return model_forward(model.double().eval(), inputs, word_ids)


def model_forward(model, inputs: dict, word_ids) -> tuple[np.ndarray, np.ndarray]:
    """Does the same with a model that is loaded already."""
    import torch

    used = inputs["weight"] > 0
    rows = {name: torch.tensor(values[used]) for name, values in inputs.items()}
    with torch.no_grad():
        scores = model(rows["input_ids"], attention_mask=rows["attention_mask"]).logits
    logits = scores[torch.arange(len(scores)), rows["mask_position"].long()][:, list(word_ids)]
    losses = torch.nn.functional.cross_entropy(logits, rows["label"].long(), reduction="none")
    weight = rows["weight"].double()
    loss = (losses * weight).sum() / weight.sum()
    return loss.numpy()[None], logits.numpy()


def relative_error(actual, reference) -> float:
    """Returns max|actual - reference| / max|reference|."""
    reference = np.asarray(reference, np.float64)
    return float(np.abs(actual - reference).max() / np.abs(reference).max())
