"""Where the values of a bundle's parameters come from: a checkpoint, or a seed."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime.errors import InputError

from ..checkpoint.reader import Checkpoint
from ..checkpoint.tensor_names import shown, todays_names
from ..graph.parameters import Parameter
from ..models import Architecture, ModelConfig, architecture_of
from .mismatch import foreign_part, mismatch

INITIALIZER_RANGE = 0.02


@dataclass(frozen=True)
class Weights:
    """Values of every parameter.

    Attributes:
      tied: whether the LM head is the word embeddings.
      parameters: what the graph needs and is trained, in order.
      read: parameter -> float32 values in the checkpoint's shape.
      ignored: names of source tensors that the loss does not use.
      frozen: what the graph needs and is not trained, in order.
      removed: what stood before the names of the source's tensors and was taken off.
      copies: those of `ignored` that hold what is read under another name.
    """

    tied: bool
    parameters: list[Parameter]
    read: Callable[[Parameter], np.ndarray]
    ignored: tuple[str, ...]
    frozen: tuple[Parameter, ...] = ()
    removed: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


def checkpoint_weights(config: ModelConfig, checkpoint: Checkpoint) -> Weights:
    """Matches a checkpoint's tensors with the graph's parameters, by the architecture's names.

    Raises:
      InputError: tensors that are missing or of another shape, or no plain weights.
    """
    architecture = architecture_of(config)
    named = todays_names(checkpoint.shapes, architecture.names, checkpoint.source)
    names = _places(architecture, config, named.places)
    tied = _is_tied(architecture, config, checkpoint, names)
    parameters = architecture.parameters(config, tied)
    problem = foreign_part(checkpoint) or mismatch(checkpoint, architecture, parameters, names)
    if problem:
        raise InputError(problem)
    used = {names[parameter.name] for parameter in parameters}
    derived = architecture.names.derived
    ignored = tuple(
        name for name in checkpoint.shapes if name not in used and not name.endswith(derived)
    )

    # Values are read, and checked, one tensor at a time: a large checkpoint can exceed the memory.
    def read(parameter):
        name = names[parameter.name]
        values = checkpoint.read(name)
        if not np.isfinite(values).all():
            bad = int(values.size - np.isfinite(values).sum())
            raise InputError(
                f"{checkpoint.file_of[name]}: tensor {name} has {bad} values that are NaN or "
                "infinite; every weight must be finite, give another checkpoint"
            )
        return values

    copies = _copies(architecture, tied, named.places, used)
    return Weights(tied, parameters, read, ignored, removed=named.removed, copies=copies)


def remarks(weights: Weights) -> list[str]:
    """Returns a line each about what of a checkpoint was left out, and how its names were read."""
    lines = []
    if weights.removed:
        lines.append(f"names of tensors: read without {' and '.join(weights.removed)} before them")
    unused = [name for name in weights.ignored if name not in weights.copies]
    if unused:
        lines.append(f"ignored, the task uses none of: {shown(unused)}")
    return lines


def random_weights(config: ModelConfig, seed: int) -> Weights:
    """Draws weights as transformers initialises them: normal(0, 0.02), biases 0, norms 1."""

    def read(parameter):
        if parameter.kind == "vector":
            return np.full(parameter.shape, parameter.initial, np.float32)
        rng = np.random.default_rng([seed, zlib.crc32(parameter.name.encode())])
        values = rng.standard_normal(parameter.shape, np.float32)
        return np.multiply(values, np.float32(INITIALIZER_RANGE), out=values)

    tied = config.tie_word_embeddings
    return Weights(tied, architecture_of(config).parameters(config, tied), read, ())


def _places(architecture, config, places):
    """Returns {parameter: tensor}, one of two names taken where a file may hold either."""
    names, head = dict(places), architecture.head
    for parameter, second in architecture.names.second.items():
        if second in places:
            names[parameter] = places[second]
    if config.tie_word_embeddings and head.decoder in places:
        names.setdefault(head.word_embeddings, places[head.decoder])
    return names


def _copies(architecture, tied, places, used):
    """Returns the tensors that are not read because another one of two names is."""
    pairs = [*architecture.names.second.items()]
    if tied:
        pairs.append((architecture.head.word_embeddings, architecture.head.decoder))
    both = {places[name] for pair in pairs for name in pair if set(pair) <= set(places)}
    return tuple(sorted(both - used))


def _is_tied(architecture: Architecture, config, checkpoint, names):
    """As transformers decides: by the config, and by the values where a checkpoint has both."""
    decoder, embeddings = (
        names.get(table) for table in (architecture.head.decoder, architecture.head.word_embeddings)
    )
    if not config.tie_word_embeddings:
        return False
    if decoder is None or embeddings == decoder:
        return True
    if checkpoint.shapes[decoder] != checkpoint.shapes[embeddings]:
        return False
    return bool(np.array_equal(checkpoint.read(decoder), checkpoint.read(embeddings)))
