"""Rows for the driver, and what the runtime makes of the same ones."""

import json
import math
from pathlib import Path

import numpy as np

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.data.batches import Row, micro_batches, training_row
from pocketllm.runtime.data.dataset import load_dataset

WEIGHT = {"nan": "NaN"}  # as Kotlin spells it


def training_rows(path: Path, bundle: Bundle) -> list[Row]:
    """Returns the rows that a data file is trained on in."""
    examples = load_dataset(path, bundle).examples
    return [training_row(example, bundle.scoring) for example in examples]


def write_rows(path: Path, rows: list[Row]) -> Path:
    """Writes rows as the driver reads them."""
    path.write_text(json.dumps([_row(row) for row in rows]))
    return path


def _row(row):
    sequences = [
        {"ids": list(map(int, s.input_ids)), "target": {k: int(v) for k, v in s.target.items()}}
        | ({} if s.loss_mask is None else {"loss_mask": list(map(int, s.loss_mask))})
        for s in row.sequences
    ]
    return {
        "sequences": sequences,
        "label": row.label,
        "weight": WEIGHT.get(str(row.weight), str(row.weight)),
    }


def parameters(model) -> bytes:
    """Returns all variables, slice by slice, by name: what the driver writes."""
    return b"".join(np.asarray(values, "<f4").tobytes() for _, values in model.read())


def losses_along(model, rows: list[Row], seed: int, eps: float) -> list[float]:
    """Returns the driver's `probe`: losses at θ, θ + ε·z, θ - ε·z and θ - ε·z / 2."""
    bundle = model.bundle
    batches = micro_batches(rows, bundle.batch_size, bundle.lengths, bundle.special_tokens.pad)
    losses = [model.loss(batches)]
    for scale in (eps, -2 * eps, eps / 2):
        model.perturb(seed, scale)
        losses.append(model.loss(batches))
    assert len(set(losses)) == len(losses) and all(map(math.isfinite, losses))
    return losses
