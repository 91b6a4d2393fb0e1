"""Prefix tuning in transformers: keys and values that stand before those of the row's own tokens.

Positions of encoders and OPT count the real tokens alone, as MeZO's prefix does, so that its eager
attention is given the prefix. Rotary positions count the prefix, as PEFT's does: it is a cache.
"""

from contextlib import nullcontext
from itertools import cycle
from unittest import mock

import torch
from transformers import DynamicCache
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from pocketllm.runtime import contract

ATTENTION = "transformers.models.{0}.modeling_{0}.eager_attention_forward"
WITHOUT_ROPE = ("roberta", "bert", "distilbert", "opt")


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
    if bundle.style == contract.MASKED or bundle.architecture in WITHOUT_ROPE:
        return mock.patch(ATTENTION.format(bundle.architecture), _attention_with(prefixes))
    import transformers

    kind = getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[bundle.architecture])
    return mock.patch.object(kind, "forward", _forward_with(prefixes, kind.forward))


def _forward_with(prefixes, forward):
    """Returns a model's forward pass, continuing a cache of {layer: (keys, values)}."""

    def continued(model, input_ids, attention_mask):
        batch, config, cache = len(input_ids), model.config, DynamicCache(config=model.config)
        for layer, pair in prefixes.items():
            pair = [torch.as_tensor(p, dtype=model.dtype) for p in pair]
            shape = (
                len(pair[0]),
                config.num_key_value_heads,
                model.model.layers[0].self_attn.head_dim,
            )
            pair = [p.reshape(1, *shape).transpose(1, 2).expand(batch, -1, -1, -1) for p in pair]
            cache.update(*pair, layer)
        seen = torch.ones(batch, len(prefixes[0][0]), dtype=attention_mask.dtype)
        mask = torch.cat([seen, attention_mask], 1)
        return forward(model, input_ids, attention_mask=mask, past_key_values=cache)

    return continued


def _attention_with(prefixes):
    """Returns transformers' eager attention over {layer: (keys, values), [P, D] each} and x.

    It is called once a layer, from the first to the last; not all modules know their number.
    """
    layers = cycle(prefixes)

    def attend(module, query, key, value, attention_mask, *, scaling, dropout=0.0, **_):
        batch, heads, _, width = key.shape
        prefix = [torch.as_tensor(p, dtype=key.dtype) for p in prefixes[next(layers)]]
        prefix = [p.reshape(1, -1, heads, width).transpose(1, 2) for p in prefix]
        prefix = [p.expand(batch, -1, -1, -1) for p in prefix]
        key, value = torch.cat([prefix[0], key], 2), torch.cat([prefix[1], value], 2)
        scores = query @ key.transpose(2, 3) * scaling
        seen = torch.zeros(*attention_mask.shape[:3], prefix[0].shape[2], dtype=key.dtype)
        weights = torch.softmax(scores + torch.cat([seen, attention_mask], 3), -1)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    return attend
