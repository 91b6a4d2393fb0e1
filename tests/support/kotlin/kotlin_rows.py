"""Rows for the driver, and what the runtime makes of the same ones."""

import json
from pathlib import Path

import numpy as np

from pocketllm.runtime.data.batches import Row

WEIGHT = {"nan": "NaN"}  # as Kotlin spells it


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
