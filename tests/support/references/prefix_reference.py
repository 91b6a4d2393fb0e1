"""Prefix tuning in transformers: its eager attention, given keys and values beside its own."""

from contextlib import nullcontext
from unittest import mock

import torch

from pocketllm.runtime import contract

ATTENTION = "transformers.models.{0}.modeling_{0}.eager_attention_forward"


def prefixed(bundle, values):
    """Returns a context in which attention also sees the prefix of a bundle, if that is its tuning.

    Args:
      bundle: says of which architecture the model is.
      values: {parameter: array or tensor [P, D]}, in the bundle's order: each layer's keys, then
        its values; read anew in every forward pass.
    """
    if bundle.tune != contract.PREFIX:
        return nullcontext()
    arrays = list(values.values())
    prefixes = {layer: arrays[2 * layer : 2 * layer + 2] for layer in range(len(arrays) // 2)}
    return mock.patch(ATTENTION.format(bundle.architecture), _attention_with(prefixes))


def _attention_with(prefixes):
    """Returns transformers' eager attention over {layer: (keys, values), [P, D] each} and x."""

    def attend(module, query, key, value, attention_mask, *, scaling, dropout=0.0, **_):
        batch, heads, _, width = key.shape
        prefix = [torch.as_tensor(p, dtype=key.dtype) for p in prefixes[module.layer_idx]]
        prefix = [p.reshape(1, -1, heads, width).transpose(1, 2) for p in prefix]
        prefix = [p.expand(batch, -1, -1, -1) for p in prefix]
        key, value = torch.cat([prefix[0], key], 2), torch.cat([prefix[1], value], 2)
        scores = query @ key.transpose(2, 3) * scaling
        seen = torch.zeros(*attention_mask.shape[:3], prefix[0].shape[2], dtype=key.dtype)
        weights = torch.softmax(scores + torch.cat([seen, attention_mask], 3), -1)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    return attend
