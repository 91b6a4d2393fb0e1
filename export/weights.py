"""Where the values of a bundle's parameters come from: a checkpoint, or a seed."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime.errors import InputError

from . import roberta
from .checkpoint import Checkpoint
from .config import RobertaConfig
from .layout import Parameter, Variable

INITIALIZER_RANGE = 0.02


@dataclass(frozen=True)
class Weights:
    """Values of every parameter.

    Attributes:
      tied: whether the LM head's decoder is the word embeddings.
      parameters: what the graph needs, in order.
      read: parameter -> float32 values in the checkpoint's shape.
      ignored: names of source tensors left out on purpose.
    """

    tied: bool
    parameters: list[Parameter]
    read: Callable[[Parameter], np.ndarray]
    ignored: tuple[str, ...]


def checkpoint_weights(config: RobertaConfig, checkpoint: Checkpoint) -> Weights:
    """Matches a checkpoint's tensors with the graph's parameters.

    Raises:
      InputError: one error that lists every missing, unexpected or misshapen tensor.
    """
    shapes = checkpoint.shapes
    names = {}
    if "lm_head.decoder.bias" in shapes:
        # The same tensor under another name, or, with an untied decoder, the one that is added.
        names["lm_head.bias"] = "lm_head.decoder.bias"
    tied = _is_tied(checkpoint)
    parameters = roberta.parameters(config, tied)
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
        n for n in unused if roberta.IGNORED.fullmatch(n) or tied and n == roberta.DECODER
    )
    problems += [
        f"unexpected {name} {list(shapes[name])}" for name in unused if name not in ignored
    ]
    if problems:
        raise InputError(
            f"{checkpoint.source}: tensors do not match config.json: {'; '.join(problems)}"
        )

    def read(parameter):
        values = checkpoint.read(names.get(parameter.name, parameter.name))
        if not np.isfinite(values).all():
            bad = int(values.size - np.isfinite(values).sum())
            raise InputError(
                f"{checkpoint.source}: tensor {parameter.name} has {bad} values that are NaN or "
                "infinite; every weight must be finite"
            )
        return values

    return Weights(tied, parameters, read, ignored)


def random_weights(config: RobertaConfig, seed: int) -> Weights:
    """Draws weights as transformers initialises them: normal(0, 0.02), biases 0, norms 1."""

    def read(parameter):
        if parameter.kind == "vector":
            norm_weight = parameter.name.endswith(".weight")
            return np.full(parameter.shape, 1.0 if norm_weight else 0.0, np.float32)
        rng = np.random.default_rng([seed, zlib.crc32(parameter.name.encode())])
        return rng.standard_normal(parameter.shape, np.float32) * np.float32(INITIALIZER_RANGE)

    return Weights(True, roberta.parameters(config, tied=True), read, ())


def stream_values(
    weights: Weights, variables: Iterable[Variable]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (variable name, values as the graph holds them), reading each parameter once."""
    held_name, values = None, None
    for variable in variables:
        parameter = variable.parameter
        if parameter.name != held_name:
            held_name, values = parameter.name, weights.read(parameter)
        if variable.rows is not None:
            yield variable.name, values[slice(*variable.rows)]
        elif parameter.kind == "linear":
            yield variable.name, np.ascontiguousarray(values.T)[None]
        else:
            yield variable.name, values


def _is_tied(checkpoint):
    shapes = checkpoint.shapes
    if roberta.DECODER not in shapes:
        return True
    if shapes[roberta.DECODER] != shapes.get(roberta.WORD_EMBEDDINGS):
        return False
    decoder = checkpoint.read(roberta.DECODER)
    return bool(np.array_equal(decoder, checkpoint.read(roberta.WORD_EMBEDDINGS)))
