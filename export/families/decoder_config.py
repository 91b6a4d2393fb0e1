"""Config of the decoders with rotary positions: what of config.json their graph depends on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pocketllm.runtime.errors import InputError

from ..checkpoint.config import (
    REQUIRED_VALUES,
    check_activation,
    check_heads,
    check_layers,
    read_fields,
)
from ..checkpoint.rope import FULL, LAYER_TYPES, SLIDING, Rope, read_ropes

# transformers' own, where an architecture has none.
ROPE_THETA = 10_000.0


class LayerAttention(NamedTuple):
    """How one layer attends.

    Attributes:
      window: keys that a row sees, its own included; None for all before it.
      rope: of queries and keys; None for no positions.
    """

    window: int | None
    rope: Rope | None


@dataclass(frozen=True)
class DecoderConfig:
    """Values of config.json that the graph depends on; names are Hugging Face's.

    Attributes:
      attention_scale: factor of the scores.
      layer_types: of every layer, one of LAYER_TYPES.
      rope_parameters: layer type -> its rope.
      no_rope_layers: 1 for every layer that rotates, 0 for one that does not.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    hidden_act: str
    max_position_embeddings: int
    rms_norm_eps: float
    tie_word_embeddings: bool
    attention_bias: bool = False
    mlp_bias: bool = False
    attention_scale: float = 1.0
    final_logit_softcapping: float | None = None
    sliding_window: int | None = None
    layer_types: tuple[str, ...] = ()
    rope_parameters: dict[str, Rope] = field(default_factory=dict)
    no_rope_layers: tuple[int, ...] = ()

    @property
    def max_tokens(self) -> int:
        """Longest row."""
        return self.max_position_embeddings

    @property
    def attentions(self) -> tuple[LayerAttention, ...]:
        """How every layer attends."""
        return tuple(
            LayerAttention(
                self.sliding_window if kind == SLIDING else None,
                self.rope_parameters[kind] if rotates else None,
            )
            for kind, rotates in zip(self.layer_types, self.no_rope_layers)
        )


def read_decoder_config(
    values: Mapping[str, Any],
    source: str,
    defaults: Mapping[str, Any],
    *,
    fixed: Mapping[str, Any],
    theta: float = ROPE_THETA,
    ropes: Mapping[str, Rope] | None = None,
    required: Mapping[str, Any] | None = None,
    whole_heads: bool = True,
) -> DecoderConfig:
    """Reads a parsed config.json.

    Args:
      values: the file's.
      source: its path.
      defaults: the architecture's names and values, for what the file leaves out. Of other names
        only num_key_value_heads and head_dim are read, which follow from these.
      fixed: DecoderConfig's values that the file does not say by these names. Where layer_types
        and no_rope_layers are left out, every layer attends to all rows, and rotates.
      theta: rope_theta, where the file says none.
      ropes: {layer type: rope}, where the file does not say them as most architectures do.
      required: values that the graph implements alone.
      whole_heads: whether the heads divide the hidden size even where head_dim says their width.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    check_layers(values, source)
    usual = _usual(values, defaults)
    names = {*defaults, "num_key_value_heads", "head_dim", *(required or ()), *REQUIRED_VALUES}
    read = {name: value for name, value in values.items() if name in names}
    config = read_fields(DecoderConfig, read | dict(fixed), usual, source, required)
    check_activation(source, "hidden_act", config.hidden_act)
    if whole_heads or not {"head_dim"} & {*defaults, *values}:
        check_heads(source, config.hidden_size, config.num_attention_heads)
    _check(config, source)
    if ropes is None:
        ropes = read_ropes(values, theta, config.max_position_embeddings, source)
    return replace(config, rope_parameters=dict(ropes))


def _usual(values, defaults):
    """Returns DecoderConfig's values for what a config.json leaves out."""
    usual = dict(defaults)
    # Of these two null is a value of its own: as many heads as of queries, no window.
    if values.get("num_key_value_heads", 0) is None:
        usual.pop("num_key_value_heads", None)
    if values.get("sliding_window", 0) is None:
        usual.pop("sliding_window", None)
    names = ("hidden_size", "num_attention_heads", "num_hidden_layers", "head_dim")
    sizes: list[Any] = [
        usual.get(name) if values.get(name) is None else values[name] for name in names
    ]
    # What is no number above 0 is refused later, by its own name.
    if not all(type(size) is int and size > 0 for size in sizes[:3]):
        return {"num_key_value_heads": 1, "head_dim": 1} | usual
    hidden, heads, layers, width = sizes
    width = max(1, hidden // heads) if width is None else width
    every = {"layer_types": [FULL] * layers, "no_rope_layers": [1] * layers}
    if type(width) is int and width > 0:
        every["attention_scale"] = width**-0.5
    return {"num_key_value_heads": heads, "head_dim": width} | usual | every


def _check(config, source):
    """Raises InputError for values that contradict each other."""
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    if heads % groups:
        raise InputError(
            f"{source}: num_attention_heads {heads} is not a multiple of num_key_value_heads "
            f"{groups}"
        )
    if config.head_dim % 2:
        raise InputError(
            f"{source}: head_dim {config.head_dim} is odd, expected pairs that rotate together"
        )
    layers = config.num_hidden_layers
    for name in ("no_rope_layers", "layer_types"):
        entries = len(getattr(config, name))
        if entries != layers:
            raise InputError(
                f"{source}: {name} has {entries} entries, expected one for each of {layers} layers"
            )
    unknown = set(config.layer_types) - set(LAYER_TYPES)
    if unknown:
        raise InputError(
            f"{source}: layer_types holds {', '.join(sorted(unknown))}, implemented are "
            f"{', '.join(LAYER_TYPES)}; give a checkpoint with these alone"
        )
    if SLIDING in config.layer_types and config.sliding_window is None:
        raise InputError(
            f"{source}: layer_types has {SLIDING} and sliding_window is null; expected a number of "
            "tokens"
        )


@dataclass(frozen=True)
class _Windows:
    use_sliding_window: bool
    max_window_layers: int
    num_hidden_layers: int
    sliding_window: int | None = None
    layer_types: tuple[str, ...] = ()


def read_windows(values: Mapping[str, Any], source: str, defaults: Mapping[str, Any]) -> dict:
    """Reads which layers of a Qwen slide, `use_sliding_window` and what goes with it.

    Args:
      values: parsed config.json.
      source: its path.
      defaults: values of the four names, for what the file leaves out.

    Returns:
      layer_types and sliding_window of DecoderConfig.

    Raises:
      InputError: a value of another type.
    """
    usual = dict(defaults)
    used = values.get("use_sliding_window", usual["use_sliding_window"])
    if values.get("sliding_window", 0) is None:  # all rows; the default is for a key left out
        del usual["sliding_window"]
    elif not used:  # and what it says does not matter
        values = {name: value for name, value in values.items() if name != "sliding_window"}
    windows = read_fields(_Windows, dict(values), usual, source)
    window = windows.sliding_window if windows.use_sliding_window else None
    sliding = range(windows.max_window_layers if window else windows.num_hidden_layers, 1 << 30)
    kinds = [SLIDING if i in sliding else FULL for i in range(windows.num_hidden_layers)]
    return {"layer_types": list(windows.layer_types) or kinds, "sliding_window": window}
