"""MeZO in PyTorch on the Hugging Face model: a second implementation, to compare with.

It shares with the runtime the NumPy reference of z and the bundle's table of parameters, which say
what z is; the model, the loss, the four passes of a step and the weight decay are its own. All of
it is float64: a rounding of float32 that the two had in common would be no difference.
"""

import math

import torch
from peft_reference import trained_model
from prefix_reference import prefixed

from pocketllm.export.results.trained_tensors import in_checkpoint_layout
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_noise
from pocketllm.runtime.noise import direction


class TorchMezo:
    """A float64 language model that takes MeZO steps."""

    def __init__(self, checkpoint, bundle, values=None):
        """Loads a checkpoint; `values`, {parameter: array}, are those that a tuning added."""
        self._bundle, self._noise = bundle, read_noise(bundle)
        self.model, tensors = trained_model(checkpoint, bundle, values)
        self.model.double()
        self.tensors = {name: tensor.double() for name, tensor in tensors.items()}

    def z(self, seed):
        """Returns {parameter: z in the checkpoint's shape}."""
        directions = {}
        for parameter in self._bundle.parameters:
            pieces = [
                direction(self._noise, seed, v.stream, math.prod(v.shape)).reshape(v.shape)
                for v in parameter.variables
            ]
            values = torch.from_numpy(in_checkpoint_layout(parameter, pieces))
            directions[parameter.name] = values.double()
        return directions

    def loss(self, examples):
        """Returns the mean loss of encoded examples, padded to the longest, in one batch."""
        gold = self._bundle.scoring == contract.GOLD
        sequences = [example.sequences[example.golds[0] if gold else 0] for example in examples]
        longest = max(len(sequence.input_ids) for sequence in sequences)
        ids = torch.full((len(examples), longest), self.model.config.pad_token_id)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            size = len(sequence.input_ids)
            ids[row, :size], mask[row, :size] = torch.from_numpy(sequence.input_ids), 1
        with torch.no_grad(), prefixed(self._bundle, self.tensors):
            scores = self.model(ids, attention_mask=mask).logits
        if gold:
            return self._option_loss(scores, sequences)
        rows = torch.arange(len(examples))
        (name,) = sequences[0].target
        positions = [sequence.target[name] for sequence in sequences]
        logits = scores[rows, positions][:, list(self._bundle.word_ids)]
        labels = torch.tensor([example.golds[0] for example in examples])
        return float(torch.nn.functional.cross_entropy(logits, labels))

    def _option_loss(self, scores, sequences):
        """Mean cross-entropy over the options' tokens of all sequences."""
        losses = []
        for logits, sequence in zip(scores, sequences):
            first = sequence.target[contract.OPTION_START]
            last = first + sequence.target[contract.OPTION_TOKENS]
            expected = torch.from_numpy(sequence.input_ids[first:last]).long()
            losses.append(
                torch.nn.functional.cross_entropy(
                    logits[first - 1 : last - 1], expected, reduction="none"
                )
            )
        return float(torch.cat(losses).mean())

    @torch.no_grad()
    def step(self, examples, seed, lr, eps, weight_decay):
        """Probes both ways and comes back: θ ← θ − lr · (g · z + weight_decay · θ).

        As MeZO's own code, without the decay for biases and layer norms. Returns both losses.
        """
        z = self.z(seed)
        self._add(z, eps)
        loss_plus = self.loss(examples)
        self._add(z, -2 * eps)
        loss_minus = self.loss(examples)
        self._add(z, eps)
        for name, tensor in self.tensors.items():
            if not name.endswith("bias") and "norm" not in name.lower():
                tensor.mul_(1 - lr * weight_decay)
        self._add(z, -lr * (loss_plus - loss_minus) / (2 * eps))
        return loss_plus, loss_minus

    def _add(self, z, scale):
        for name, tensor in self.tensors.items():
            tensor.add_(z[name], alpha=scale)
