"""A model's parameters: the tensors that a checkpoint names, and which kind each is."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One tensor of a checkpoint.

    Attributes:
      name: Hugging Face's.
      shape: as in the checkpoint.
      kind: "linear" ([out, in], in the graph [1, out, in]), "table" (rows looked up by id) or
        "vector" (the same in the graph).
      decays: whether weight decay applies (no biases, no norms).
      initial: of all values of a vector, in a model that was not trained.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    decays: bool
    initial: float = 0.0

    @property
    def values(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class HeadNames:
    """Names of the tables at the bottom and at the top of a model.

    Attributes:
      word_embeddings: the table of the tokens.
      decoder: the table that the LM head's logits are products with, which a tied checkpoint
        leaves out.
      bias: of the LM head, None where it has none.
    """

    word_embeddings: str
    decoder: str
    bias: str | None

    def table(self, tied: bool) -> str:
        """Names the parameter that the LM head's logits are products with."""
        return self.word_embeddings if tied else self.decoder


def table(name: str, rows: int, width: int) -> Parameter:
    """Returns an embedding table, [rows, width]."""
    return Parameter(name, (rows, width), "table", True)


def linear(name: str, fan_in: int, fan_out: int, bias: bool = True) -> list[Parameter]:
    """Returns a layer's matrix and, with `bias`, its bias."""
    weight = Parameter(f"{name}.weight", (fan_out, fan_in), "linear", True)
    return [weight, Parameter(f"{name}.bias", (fan_out,), "vector", False)][: 1 + bias]


def layer_norm(name: str, width: int, bias: bool = True) -> list[Parameter]:
    """Returns a layer norm's weight and, with `bias`, its bias."""
    weight = Parameter(f"{name}.weight", (width,), "vector", False, 1.0)
    return [weight, Parameter(f"{name}.bias", (width,), "vector", False)][: 1 + bias]


def rms_norm(name: str, width: int, offset: float = 0.0) -> Parameter:
    """Returns an RMS norm's weight; what it multiplies with is the weight and `offset`."""
    return Parameter(f"{name}.weight", (width,), "vector", False, 1.0 - offset)
