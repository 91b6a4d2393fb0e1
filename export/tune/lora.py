"""LoRA (arXiv 2106.09685): to a frozen matrix W, [out, in], a product B·A of rank r is added.

Names and initial values are PEFT's: A, [r, in], Kaiming-uniform, B, [out, r], zero.
"""

import zlib
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime.errors import InputError

from ..checkpoint.tensor_names import TensorNames
from ..graph.parameters import Parameter, linear
from ..graph.weights_view import WeightsView

EXTRAS = ("none", "lm_head")


@dataclass(frozen=True)
class Lora:
    """Settings.

    Attributes:
      rank: r.
      alpha: the product is scaled by alpha / rank.
      targets: names of the layers, or what they end in; () for the architecture's query and value.
      extras: "lm_head" trains the LM head's own parameters too, one of EXTRAS.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ()
    extras: str = "none"

    @property
    def scaling(self) -> float:
        """Factor of the products."""
        return self.alpha / self.rank


def a_of(layer: str) -> str:
    """Names the layer of A."""
    return f"{layer}.lora_A"


def b_of(layer: str) -> str:
    """Names the layer of B."""
    return f"{layer}.lora_B"


class LoraView(WeightsView):
    """Weights whose linear layers add B·A, scaled, where they have them."""

    def __init__(self, *weights, scaling: float, **others):
        super().__init__(*weights, **others)
        self._scaling = scaling

    def linear(self, name, x):
        """Returns x @ W + bias + scaling (x @ A) @ B."""
        product = super().linear(name, x)
        if f"{a_of(name)}.weight" not in self.tensors:
            return product
        inner = super().linear(a_of(name), x) * self._scaling  # 1 N rank
        return product + super().linear(b_of(name), inner)


def lora_parameters(parameters: list[Parameter], settings: Lora, seed: int) -> dict:
    """Returns {A or B: function that gives its initial values}, in the layers' order.

    Raises:
      InputError: a rank or alpha out of range, or a target that no layer has.
    """
    if settings.rank < 1:
        raise InputError(f"--lora_rank={settings.rank}: expected 1 or more")
    if not 0 < settings.alpha < np.inf:
        raise InputError(f"--lora_alpha={settings.alpha:g}: expected a positive number")
    layers = {p.name.removesuffix(".weight"): p for p in parameters if p.kind == "linear"}
    chosen: set[str] = set()
    for target in settings.targets:
        matched = {name for name in layers if name == target or name.endswith(f".{target}")}
        if not matched:
            known = ", ".join(dict.fromkeys(name.rsplit(".", 1)[1] for name in layers))
            raise InputError(f"--lora_targets: no layer is called {target!r}, expected {known}")
        chosen |= matched
    added = {}
    for name in filter(chosen.__contains__, layers):
        fan_out, fan_in = layers[name].shape
        (a,) = linear(a_of(name), fan_in, settings.rank, bias=False)
        (b,) = linear(b_of(name), settings.rank, fan_out, bias=False)
        added |= {a: lambda a=a: _kaiming_uniform(a, seed), b: lambda b=b: _zero(b)}
    return added


def extra_parameters(
    parameters: list[Parameter], settings: Lora, names: TensorNames
) -> list[Parameter]:
    """Returns the checkpoint's own parameters that are trained beside A and B.

    The decoder of a tied LM head is not among them: it is the word embeddings, which stay as they
    are.
    """
    if settings.extras == "none":
        return []
    extras = [p for p in parameters if names.in_head(p.name)]
    if not extras:
        raise InputError("--lora_extras=lm_head: this model's LM head is the word embeddings alone")
    return extras


def _kaiming_uniform(parameter, seed):
    """As torch.nn.Linear draws: uniform within 1 / sqrt(in)."""
    bound = parameter.shape[1] ** -0.5
    rng = np.random.default_rng([seed, zlib.crc32(parameter.name.encode())])
    return rng.uniform(-bound, bound, parameter.shape).astype(np.float32)


def _zero(parameter):
    return np.zeros(parameter.shape, np.float32)
