"""Losses, gradients and torch.optim.AdamW's steps in PyTorch, to compare with."""

import torch
from opt_forward import torch_scores
from peft_reference import trained_model

# The loss does not depend on a bias of the keys: it adds the same to all of a row's scores. What is
# computed as its gradient is rounding, which Adam blows up to steps of the size of lr.
INVARIANT = ("key.bias", "k_proj.bias", "k_lin.bias")


class TorchAdam:
    """A language model, dropout off, with the parameters that a bundle trains."""

    def __init__(self, checkpoint, bundle, dtype, values=None):
        """Loads a checkpoint; of a LoRA bundle `values` are the adapter's, {parameter: array}."""
        self._bundle = bundle
        self.model, self.tensors = trained_model(checkpoint, bundle, values)
        self.model.to(dtype)
        for tensor in self.tensors.values():
            tensor.requires_grad_()
        self._optimizer = None

    def gradients(self, inputs):
        """Returns {parameter: d loss / d parameter}, zeros where the loss does not depend on it."""
        loss, _, _ = torch_scores(self.model, self._bundle, inputs)
        derivatives = torch.autograd.grad(loss, list(self.tensors.values()), allow_unused=True)
        return {
            name: torch.zeros_like(tensor) if gradient is None else gradient
            for (name, tensor), gradient in zip(self.tensors.items(), derivatives)
        }

    def step(self, inputs, lr, weight_decay):
        """Takes one step of AdamW; returns the loss before it."""
        if self._optimizer is None:
            decaying = {p.name for p in self._bundle.parameters if p.decays}
            groups = [
                {"params": [t for n, t in self.tensors.items() if n in decaying]},
                {
                    "params": [t for n, t in self.tensors.items() if n not in decaying],
                    "weight_decay": 0.0,
                },
            ]
            self._optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.zero_grad()
        loss, _, _ = torch_scores(self.model, self._bundle, inputs)
        loss.backward()
        for tensor in self.tensors.values():  # AdamW leaves out what has no gradient
            tensor.grad = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        self._optimizer.step()
        return float(loss)
