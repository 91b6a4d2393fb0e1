"""Where the values of a bundle's parameters come from: a checkpoint, or a seed."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime.errors import InputError

from ..checkpoint.reader import Checkpoint
from . import FAMILIES, family_name
from .parameters import Parameter

INITIALIZER_RANGE = 0.02
# Of a mismatch with the config; a missing shard alone is hundreds.
MAX_PROBLEMS = 12


@dataclass(frozen=True)
class Weights:
    """Values of every parameter.

    Attributes:
      tied: whether the LM head is the word embeddings.
      parameters: what the graph needs and is trained, in order.
      read: parameter -> float32 values in the checkpoint's shape.
      ignored: names of source tensors left out on purpose.
      frozen: what the graph needs and is not trained, in order.
    """

    tied: bool
    parameters: list[Parameter]
    read: Callable[[Parameter], np.ndarray]
    ignored: tuple[str, ...]
    frozen: tuple[Parameter, ...] = ()


def checkpoint_weights(config, checkpoint: Checkpoint) -> Weights:
    """Matches a checkpoint's tensors with the graph's parameters.

    Raises:
      InputError: one error that lists missing, unexpected and misshapen tensors.
    """
    family, shapes = FAMILIES[family_name(config)], checkpoint.shapes
    names = family.checkpoint_names(set(shapes), config)
    tied = _is_tied(family, config, checkpoint, names)
    parameters = family.parameters(config, tied)
    wanted = {names.get(p.name, p.name): p for p in parameters}
    problems = [
        f"missing {name} {list(p.shape)}" for name, p in wanted.items() if name not in shapes
    ]
    problems += [
        f"{name} is {list(shapes[name])}, expected {list(p.shape)}"
        for name, p in wanted.items()
        if name in shapes and shapes[name] != p.shape
    ]
    unused = [name for name in shapes if name not in wanted]
    ignored = tuple(
        n for n in unused if family.IGNORED.fullmatch(n) or tied and n == family.LM_HEAD
    )
    problems += [
        f"unexpected {name} {list(shapes[name])}" for name in unused if name not in ignored
    ]
    if problems:
        shown = problems[:MAX_PROBLEMS]
        more = len(problems) - len(shown)
        raise InputError(
            f"{checkpoint.source}: tensors do not match config.json: {'; '.join(shown)}"
            + (f"; and {more} more" if more else "")
            + "; give the config.json and the weights of one checkpoint"
        )

    def read(parameter):
        name = names.get(parameter.name, parameter.name)
        values = checkpoint.read(name)
        if not np.isfinite(values).all():
            bad = int(values.size - np.isfinite(values).sum())
            raise InputError(
                f"{checkpoint.file_of[name]}: tensor {name} has {bad} values that are NaN or "
                "infinite; every weight must be finite, give another checkpoint"
            )
        return values

    return Weights(tied, parameters, read, ignored)


def random_weights(config, seed: int) -> Weights:
    """Draws weights as transformers initialises them: normal(0, 0.02), biases 0, norms 1."""

    def read(parameter):
        if parameter.kind == "vector":
            norm_weight = parameter.name.endswith(".weight")
            return np.full(parameter.shape, 1.0 if norm_weight else 0.0, np.float32)
        rng = np.random.default_rng([seed, zlib.crc32(parameter.name.encode())])
        return rng.standard_normal(parameter.shape, np.float32) * np.float32(INITIALIZER_RANGE)

    tied = getattr(config, "tie_word_embeddings", True)
    return Weights(tied, FAMILIES[family_name(config)].parameters(config, tied), read, ())


def _is_tied(family, config, checkpoint, names):
    """As transformers decides: by the config, and by the values where a checkpoint has both."""
    shapes, embeddings = checkpoint.shapes, names.get(family.WORD_EMBEDDINGS)
    embeddings = embeddings or family.WORD_EMBEDDINGS
    if not getattr(config, "tie_word_embeddings", True):
        return False
    if family.LM_HEAD not in shapes or embeddings == family.LM_HEAD:
        return True
    if shapes[family.LM_HEAD] != shapes.get(embeddings):
        return False
    head = checkpoint.read(family.LM_HEAD)
    return bool(np.array_equal(head, checkpoint.read(embeddings)))
