"""Encoded rows in a file, for programs without a tokenizer (tflite_models/ENCODED.md).

What a file says of its data is what a run and its evaluations are told of it: a program that reads
it writes the same journal and the same lines as one that reads the data.
"""

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import contract
from .bundle.contents import Bundle
from .data.dataset import Dataset
from .data.encoded import Encoded, EncodedExample
from .host.files import written_beside
from .tasks.metrics import answer_scores

MAGIC = b"PLLMENC1"
WORD = struct.Struct("<I")
NO_GROUP = 0xFFFFFFFF
ALIGNMENT = 4  # of everything behind the header, from the start of the file


def write_encoded(
    path: Path, data: Dataset, bundle: Bundle, *, training: bool = False, split: str | None = None
) -> dict:
    """Writes a data set's rows, by rename; returns the file's header.

    Args:
      path: of the file.
      data: encoded for the bundle.
      bundle: that the rows are for.
      training: whether options that are not trained on are missing.
      split: "TRAIN/DEV" where the data is a part of a file, as config.json has it.

    Raises:
      RunError: the disk is full.
    """
    metrics = tuple(getattr(bundle.task, "metrics", ()))
    has_answers = all(example.answers for example in data.examples)
    scores = answer_scores(metrics) if has_answers and not training else {}
    header = {
        "format_version": contract.FORMAT_VERSION,
        "bundle_checksum": bundle.checksum,
        "scoring": bundle.scoring,
        "data": data.path.name,
        "data_sha256": data.sha256,
        "split": split,
        "training": training,
        "examples": len(data.examples),
        "truncated": data.truncated,
        "skipped": data.skipped,
        "targets": list(targets_of(bundle)),
        "metrics": list(metrics),
        "answer_scores": list(scores),
    }
    text = json.dumps(header).encode()
    text += b" " * (-(len(MAGIC) + WORD.size + len(text)) % ALIGNMENT)
    digest = hashlib.sha256()
    with written_beside(path) as file:

        def write(data: bytes):
            digest.update(data)
            file.write(data)

        write(MAGIC + WORD.pack(len(text)) + text)
        groups: dict[str, int] = {}
        for example in data.examples:
            for part in _example(example, header["targets"], scores, groups):
                write(part)
        file.write(digest.digest())
    return header


def targets_of(bundle: Bundle) -> tuple[str, ...]:
    """Returns the names of the numbers that stand in front of a row's tokens."""
    inputs = contract.TARGET_INPUTS[bundle.style, bundle.scoring]
    return tuple(name for name in inputs if name != contract.LOSS_MASK)


def _example(example: EncodedExample, targets, scores, groups) -> Iterator[bytes]:
    options = len(example.answers) if scores else 0
    group = NO_GROUP if example.group is None else groups.setdefault(example.group, len(groups))
    counts = (len(example.sequences), len(example.golds), group, options)
    yield struct.pack("<4I", *counts)
    yield np.array(example.golds, "<u4").tobytes()
    for score in scores.values():
        yield np.array(score(example.golds, example.answers)[:options], "<f8").tobytes()
    for sequence in example.sequences:
        yield _sequence(sequence, targets)


def _sequence(sequence: Encoded, targets) -> bytes:
    numbers = [len(sequence.input_ids), *(sequence.target[name] for name in targets)]
    parts = [np.array(numbers, "<i4"), sequence.input_ids.astype("<i4")]
    if sequence.loss_mask is not None:
        parts.append(sequence.loss_mask.astype("<i4"))
    return b"".join(part.tobytes() for part in parts)
