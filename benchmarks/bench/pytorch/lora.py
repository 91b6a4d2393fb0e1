"""LoRA in PyTorch, as PEFT computes it without dropout: W x + (alpha / rank) B (A x)."""

import torch
from transformers import PreTrainedModel

from pocketllm.runtime.bundle.contents import Bundle

from .initial_values import initial_values

A, B = ".lora_A.weight", ".lora_B.weight"


class LoraLinear(torch.nn.Module):
    """A linear layer and the product that is added to it; A [r, in], B [out, r]."""

    def __init__(self, base: torch.nn.Linear, a: torch.Tensor, b: torch.Tensor, scaling: float):
        super().__init__()
        self.base, self.scaling = base, scaling
        self.a, self.b = torch.nn.Parameter(a), torch.nn.Parameter(b)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns [..., out] of x, [..., in]."""
        linear = torch.nn.functional.linear
        return self.base(x) + linear(linear(x, self.a), self.b) * self.scaling


def add_lora(model: PreTrainedModel, bundle: Bundle) -> list[torch.nn.Parameter]:
    """Puts a LoRA bundle's layers into its base model; returns what the bundle trains, in order.

    Args:
      model: changed in place; its own parameters stay as they are.
      bundle: gives A, B and, of its extras, initial values that the model must hold already.
    """
    values, own = dict(initial_values(bundle)), dict(model.named_parameters())
    scaling = bundle.lora["alpha"] / bundle.lora["rank"]
    trained = []
    for name in values:
        if name.endswith(A):
            layer = name.removesuffix(A)
            held = (torch.from_numpy(values[layer + which]) for which in (A, B))
            wrapped = LoraLinear(model.get_submodule(layer), *held, scaling)
            parent, _, child = layer.rpartition(".")
            setattr(model.get_submodule(parent), child, wrapped)
            trained += [wrapped.a, wrapped.b]
        elif not name.endswith(B):
            trained.append(own[name])
    return trained
