"""Where the values of a bundle's parameters come from: a checkpoint, or a seed."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime.errors import InputError

from ..checkpoint.reader import Checkpoint
from . import Architecture, ModelConfig, architecture_of
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


def checkpoint_weights(config: ModelConfig, checkpoint: Checkpoint) -> Weights:
    """Matches a checkpoint's tensors with the graph's parameters.

    Raises:
      InputError: one error that lists missing, unexpected and misshapen tensors.
    """
    architecture, shapes = architecture_of(config), checkpoint.shapes
    names = architecture.checkpoint_names(set(shapes), config)
    tied = _is_tied(architecture, config, checkpoint, names)
    parameters = architecture.parameters(config, tied)
    # All problems are listed: they show whether the config or a shard is the wrong one.
    wanted = {names.get(p.name, p.name): p for p in parameters}
    problems = [
        f"missing {name} {list(p.shape)}" for name, p in wanted.items() if name not in shapes
    ]
    problems += [
        f"{name} is {list(shapes[name])}, expected {list(p.shape)}"
        for name, p in wanted.items()
        if name in shapes and shapes[name] != p.shape
    ]
    # A tensor that nobody knows means another architecture, so it is a problem too. A tied
    # checkpoint may hold the decoder a second time.
    unused = [name for name in shapes if name not in wanted]
    ignored = tuple(
        name
        for name in unused
        if architecture.ignored.fullmatch(name) or (tied and name == architecture.head.decoder)
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

    # Values are read, and checked, one tensor at a time: a large checkpoint can exceed the memory.
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


def random_weights(config: ModelConfig, seed: int) -> Weights:
    """Draws weights as transformers initialises them: normal(0, 0.02), biases 0, norms 1."""

    def read(parameter):
        if parameter.kind == "vector":
            norm_weight = parameter.name.endswith(".weight")
            return np.full(parameter.shape, 1.0 if norm_weight else 0.0, np.float32)
        rng = np.random.default_rng([seed, zlib.crc32(parameter.name.encode())])
        return rng.standard_normal(parameter.shape, np.float32) * np.float32(INITIALIZER_RANGE)

    tied = getattr(config, "tie_word_embeddings", True)
    return Weights(tied, architecture_of(config).parameters(config, tied), read, ())


def _is_tied(architecture: Architecture, config, checkpoint, names):
    """As transformers decides: by the config, and by the values where a checkpoint has both."""
    shapes, decoder = checkpoint.shapes, architecture.head.decoder
    embeddings = architecture.head.word_embeddings
    embeddings = names.get(embeddings, embeddings)
    if not getattr(config, "tie_word_embeddings", True):
        return False
    if decoder not in shapes or embeddings == decoder:
        return True
    if shapes[decoder] != shapes.get(embeddings):
        return False
    return bool(np.array_equal(checkpoint.read(decoder), checkpoint.read(embeddings)))
