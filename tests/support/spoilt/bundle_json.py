"""A bundle's bundle.json, changed and with its checksum: the files beside it stay as they are."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pocketllm.runtime import noise
from pocketllm.runtime.bundle.checksum import write_with_checksum
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.host.files import sha256_of
from pocketllm.runtime.tasks.codec import Task, to_json


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    """Applies `change` to the values of a bundle.json."""
    path = folder / "bundle.json"
    values = json.loads(path.read_text())
    change(values)
    write_with_checksum(path, values)


def update(folder: Path, **values) -> None:
    """Sets values of a bundle.json."""
    rewrite(folder, lambda manifest: manifest.update(values))


def as_causal(folder: Path, task: Task, scoring: str, option_tokens: int) -> Bundle:
    """Makes a bundle, its graphs aside, one of a causal model for a task."""
    update(
        folder, style="causal", task=to_json(task), word_ids=[], scoring=scoring,
        option_tokens=option_tokens,
    )  # fmt: skip
    return read_bundle(folder)


def alter_hash(folder: Path) -> None:
    """Alters a bit of the second multiplier of a model's noise; its checksums are right again."""
    path = folder / "model.tflite"
    multiplier, data = noise.MULTIPLIER_2.tobytes(), path.read_bytes()
    assert multiplier in data
    other = np.uint32(noise.MULTIPLIER_2 ^ np.uint32(1 << 20)).tobytes()
    path.write_bytes(data.replace(multiplier, other))
    rewrite(folder, lambda values: values["files"]["model.tflite"].update(sha256=sha256_of(path)))
