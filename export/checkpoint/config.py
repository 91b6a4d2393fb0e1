"""What the configs of all architectures share: config.json is read as transformers reads it."""

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.host.foreign import foreign_kind
from pocketllm.runtime.host.typed_json import typed

from .other_files import without_config

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh")
# transformers' other names of the same functions.
SAME_ACTIVATIONS = {
    "gelu_python": "gelu",
    "gelu_fast": "gelu_new",
    "gelu_accurate": "gelu_new",
    "gelu_python_tanh": "gelu_pytorch_tanh",
}

ONE_OF_THESE = "give a checkpoint with one of these"
MAY_BE_ZERO = ("pad_token_id", "max_window_layers")
# Values that would change the graph of any architecture in a way it does not implement.
REQUIRED_VALUES = {"quantization_config": None, "per_layer_config": None}
# transformers' names of the number of layers. The largest published models have some 130.
LAYERS, MOST_LAYERS = ("num_hidden_layers", "n_layers"), 1000


def read_config_json(path: Path) -> dict:
    """Reads config.json.

    Raises:
      InputError: it is missing or no JSON; the message says what lies in its place.
    """
    if not path.is_file():
        raise InputError(f"{path}: not found; {without_config(path.parent)}")
    kind = foreign_kind(path)
    if kind:
        raise InputError(f"{path}: not JSON: {kind}")
    return read_json(path, "give a Hugging Face checkpoint folder")


def read_fields(
    kind, values: dict, defaults: Mapping, source: str, required: Mapping | None = None
):
    """Builds a config dataclass of numbers, strings and switches from a parsed config.json.

    Keys that no field names change nothing in the graph and are not looked at.

    Args:
      kind: the dataclass; fields are named as in the file.
      values: the parsed file.
      defaults: what transformers' class takes where the file says nothing; null says nothing too.
      source: the file's path, for error messages.
      required: {key: the value that the graph implements}, beside REQUIRED_VALUES; absent, null
        and empty mean that value.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    check_layers(values, source)
    for name, only in (REQUIRED_VALUES | dict(required or {})).items():
        if values.get(name) not in (None, only, {}, []):
            raise InputError(
                f"{source}: {name} is {repr(values[name])[:80]}, only "
                f"{'null' if only is None else repr(only)} is implemented; give a checkpoint "
                "without it"
            )
    present = {**defaults, **{name: v for name, v in values.items() if v is not None}}
    present |= {
        name: SAME_ACTIVATIONS[v]
        for name, v in present.items()
        if isinstance(v, str) and v in SAME_ACTIVATIONS
    }
    try:
        config = typed(kind, present, further=True)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from error
    for field in fields(kind):
        _check_range(source, field.name, getattr(config, field.name))
    return config


def check_layers(values: Mapping, source: str) -> None:
    """Raises InputError for more layers than any model has, before something is made for each."""
    for name in LAYERS:
        if type(values.get(name)) is int and values[name] > MOST_LAYERS:
            raise InputError(f"{source}: {name} is {values[name]}, expected at most {MOST_LAYERS}")


def check_activation(source: str, name: str, value: str) -> None:
    """Raises InputError for an activation that graph/activations.py does not know."""
    if value not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(f"{source}: {name} is {value!r}, implemented are {known}; {ONE_OF_THESE}")


def check_heads(
    source: str,
    hidden_size: int,
    heads: int,
    names: tuple[str, str] = ("hidden_size", "num_attention_heads"),
) -> None:
    """Raises InputError where the heads do not divide the hidden size; `names` are the file's."""
    if hidden_size % heads:
        raise InputError(
            f"{source}: {names[0]} {hidden_size} is not a multiple of {names[1]} {heads}"
        )


def _check_range(source, name, value):
    lowest = 0 if name in MAY_BE_ZERO else 1e-30
    if type(value) in (int, float) and not lowest <= value < math.inf:
        raise InputError(f"{source}: {name} is {value!r}, expected a positive number")
