"""LoRA in PyTorch, as PEFT computes it without dropout: W x + (alpha / rank) B (A x)."""

from typing import cast

import torch
from transformers import PreTrainedModel

from pocketllm.runtime.bundle.contents import Bundle

from .initial_values import initial_values

A, B = ".lora_A.weight", ".lora_B.weight"


class LoraLinear(torch.nn.Module):
    """A linear layer plus the product of A [rank, in] and B [out, rank]."""

    def __init__(self, base: torch.nn.Linear, a: torch.Tensor, b: torch.Tensor, scaling: float):
        super().__init__()
        self.base, self.scaling = base, scaling
        self.a, self.b = torch.nn.Parameter(a), torch.nn.Parameter(b)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns [..., out] float32 for x [..., in]."""
        linear = torch.nn.functional.linear
        return self.base(x) + linear(linear(x, self.a), self.b) * self.scaling


def add_lora(model: PreTrainedModel, bundle: Bundle) -> list[torch.nn.Parameter]:
    """Puts a LoRA bundle's layers into its base model; returns the trained parameters, in order.

    Args:
      model: changed in place; the values of its own parameters stay.
      bundle: gives A and B. The parameters that it trains besides must have their initial values
        in the model already.
    """
    values, own = dict(initial_values(bundle)), dict(model.named_parameters())
    scaling = bundle.lora["alpha"] / bundle.lora["rank"]
    trained = []
    for name in values:
        if name.endswith(A):
            layer = name.removesuffix(A)
            a, b = (torch.from_numpy(values[layer + suffix]) for suffix in (A, B))
            lora = LoraLinear(cast(torch.nn.Linear, model.get_submodule(layer)), a, b, scaling)
            parent, _, child = layer.rpartition(".")
            setattr(model.get_submodule(parent), child, lora)
            trained += [lora.a, lora.b]
        elif not name.endswith(B):
            trained.append(own[name])
    return trained
