"""A prefix as PEFT's prefix tuning reads it: one tensor, and what its configuration says of it."""

from typing import Any

import numpy as np

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.errors import InputError

from ..checkpoint.source_files import REMEDY
from ..models import architecture_in_bundle
from .trained_tensors import trained_tensors

PROMPT = "prompt_embeddings"
INSTEAD = (
    "evaluate the run with `pocketllm eval --run`, or export with --tune=lora, of which an adapter "
    "can be written"
)


def check_prefix(bundle: Bundle) -> None:
    """Checks that PEFT gives the losses of a prefix bundle.

    PEFT hands the prefix over as the cache of a causal model: neither normed nor rotated, and the
    row's positions start behind it.

    Raises:
      InputError: the architecture reads a prefix otherwise, or the parameters are none.
    """
    kind = bundle.architecture
    if bundle.style != contract.CAUSAL:
        raise InputError(
            f"{bundle.folder}: --tune=prefix of {kind}: PEFT has no prefix for a masked language "
            f"model; {INSTEAD}"
        )
    if not architecture_in_bundle(bundle).prefix_moves_positions:
        raise InputError(
            f"{bundle.folder}: --tune=prefix of {kind}: its positions count the text alone, as in "
            f"MeZO's code, and PEFT's start behind the prefix, which gives other losses; {INSTEAD}"
        )
    prefix_settings(bundle)


def prefix_settings(bundle: Bundle) -> dict:
    """Returns what adapter_config.json says of a prefix; heads are those of keys and values.

    Raises:
      InputError: the parameters are no prefix.
    """
    layers: Any = bundle.config.get("num_hidden_layers")
    heads: Any = bundle.config.get("num_key_value_heads")
    shapes = [tuple(parameter.shape) for parameter in bundle.parameters]
    numbers = type(layers) is int and type(heads) is int and heads > 0
    plain = len(set(shapes)) == 1 and len(shapes[0]) == 2
    if not numbers or not plain or len(shapes) != 2 * layers or shapes[0][1] % heads:
        raise InputError(
            f"{bundle.folder}: its parameters are not the keys and values of {layers!r} layers "
            f"with {heads!r} heads each; {REMEDY}"
        )
    tokens, width = shapes[0]
    return {
        "num_virtual_tokens": tokens,
        "token_dim": width,
        "num_transformer_submodules": 1,
        "num_attention_heads": heads,
        "num_layers": layers,
        "encoder_hidden_size": width,
        "prefix_projection": False,
    }


def prefix_tensors(model: Model) -> dict[str, np.ndarray]:
    """Returns PEFT's tensor [P, 2 L * G * K]: a token's keys and values, layer by layer."""
    values = dict(trained_tensors(model))
    in_order = [values[parameter.name] for parameter in model.bundle.parameters]
    return {PROMPT: np.concatenate(in_order, 1)}
