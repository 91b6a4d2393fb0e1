"""What the configs of all architectures share: config.json is read with nothing unnoticed."""

import math
from dataclasses import fields

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.typed_json import typed

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh")

# Values that would change the graph in a way it does not implement; absent means the value here.
REQUIRED_VALUES = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "quantization_config": None,
}


def read_fields(kind, values: dict, defaults: dict, source: str):
    """Builds a config dataclass of numbers, strings and switches from a parsed config.json.

    Args:
      kind: the dataclass; fields are named as in the file.
      values: the parsed file.
      defaults: what Hugging Face takes where the file says nothing (or null).
      source: the file's path, for error messages.

    Raises:
      InputError: a missing value, or one that is not implemented.
    """
    for name, only in REQUIRED_VALUES.items():
        if values.get(name, only) != only:
            raise InputError(f"{source}: {name} is {values[name]!r}, only {only!r} is implemented")
    present = defaults | {name: value for name, value in values.items() if value is not None}
    missing = sorted({field.name for field in fields(kind)} - set(present))
    if missing:
        raise InputError(
            f"{source}: missing {', '.join(missing)}; give the config.json of the checkpoint"
        )
    try:
        config = typed(kind, present, further=True)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
    for field in fields(kind):
        _check_range(source, field.name, getattr(config, field.name))
    return config


def check_activation(source: str, name: str, value: str) -> None:
    """Raises InputError for an activation that models/activations.py does not know."""
    if value not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(f"{source}: {name} is {value!r}, implemented are {known}")


def check_heads(source: str, hidden_size: int, heads: int) -> None:
    """Raises InputError where the heads do not divide the hidden size."""
    if hidden_size % heads:
        raise InputError(
            f"{source}: hidden_size {hidden_size} is not a multiple of num_attention_heads {heads}"
        )


def _check_range(source, name, value):
    lowest = 0 if name == "pad_token_id" else 1e-30
    if type(value) in (int, float) and not lowest <= value < math.inf:
        raise InputError(f"{source}: {name} is {value!r}, expected a positive number")
