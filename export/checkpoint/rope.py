"""Rotary position embeddings as a config.json says them, in the spellings of transformers 4 and 5.

Version 5 writes `rope_parameters`, flat or by layer type; version 4 `rope_theta` beside
`rope_scaling`, whose `type` was later called `rope_type`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.typed_json import typed

LAYER_TYPES = FULL, SLIDING = "full_attention", "sliding_attention"
DEFAULT, LINEAR, LLAMA3, YARN = "default", "linear", "llama3", "yarn"
ORIGINAL = "original_max_position_embeddings"
# Kind -> the settings that it must have.
NEEDED = {
    DEFAULT: (),
    LINEAR: ("factor",),
    LLAMA3: ("factor", "low_freq_factor", "high_freq_factor"),
    YARN: ("factor",),
}


@dataclass(frozen=True)
class Rope:
    """Settings of rotary positions, in the words of transformers' `rope_parameters`.

    Attributes:
      rope_type: one of NEEDED.
      rope_theta: base of the frequencies.
      factor, low_freq_factor, high_freq_factor: how far longer wavelengths are stretched.
      original_max_position_embeddings: positions that the model was first trained with.
      attention_factor: factor of cosines and sines; None as the paper of YaRN says.
      beta_fast, beta_slow: rotations between which YaRN blends.
      mscale, mscale_all_dim: give YaRN's attention factor where both are there.
      truncate: whether YaRN's bounds are whole dimensions.
    """

    rope_type: str = DEFAULT
    rope_theta: float = 10_000.0
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 0
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True


def read_ropes(
    values: Mapping[str, Any], theta: float, positions: int, source: str
) -> dict[str, Rope]:
    """Reads the one rope that all layers of an architecture have.

    Args:
      values: parsed config.json.
      theta: the architecture's rope_theta where the file says none.
      positions: max_position_embeddings.
      source: the file's path.

    Raises:
      InputError: a kind or a setting that is not implemented, or of another type.
    """
    check_whole(values, source)
    spelled = spelled_rope(values, source)
    theta = theta_of(values, theta)
    nested = [kind for kind in LAYER_TYPES if kind in spelled]
    if nested:  # transformers would take the defaults, or fail
        raise InputError(
            f"{source}: rope settings of {' and '.join(nested)}, and all layers of this "
            "architecture have one rope; expected its settings without a layer type"
        )
    # Beside the other keys it is the one that transformers takes.
    original = values.get(ORIGINAL)
    spelled = spelled if original is None else spelled | {ORIGINAL: original}
    return dict.fromkeys(LAYER_TYPES, rope_of(spelled, theta, positions, source))


def spelled_rope(values: Mapping[str, Any], source: str) -> dict:
    """Returns a config.json's rope settings as it spells them; InputError for no object."""
    spelled = values.get("rope_scaling") or values.get("rope_parameters") or {}
    if not isinstance(spelled, dict):
        raise InputError(f"{source}: rope settings are {repr(spelled)[:80]}, expected an object")
    return spelled


def theta_of(values: Mapping[str, Any], default: float) -> float:
    """Returns the rope_theta beside the other keys of a config.json, or the default."""
    theta = values.get("rope_theta")
    return default if theta is None else theta


def check_whole(values: Mapping[str, Any], source: str) -> None:
    """Raises InputError where only a part of a head rotates."""
    if values.get("partial_rotary_factor") not in (None, 1):
        raise InputError(
            f"{source}: partial_rotary_factor is {values['partial_rotary_factor']!r}, only 1 is "
            "implemented; give a checkpoint whose heads rotate whole"
        )


def rope_of_layers(spelled: Any, theta: float, positions: int, source: str) -> Rope:
    """Reads the rope settings of one layer type; arguments and InputError as of `read_ropes`."""
    if isinstance(spelled, dict) and spelled.get("truncate") is False:
        raise InputError(
            f"{source}: truncate is False, which transformers ignores where each layer type has a "
            "rope; expected true"
        )
    return rope_of(spelled, theta, positions, source)


def rope_of(spelled: Any, theta: float, positions: int, source: str) -> Rope:
    """Reads one table of rope settings; arguments and InputError as of `read_ropes`."""
    if not isinstance(spelled, dict):
        raise InputError(f"{source}: rope settings are {repr(spelled)[:80]}, expected an object")
    kind = spelled.get("rope_type", spelled.get("type", DEFAULT))
    if not isinstance(kind, str) or kind not in NEEDED:
        raise InputError(
            f"{source}: rope_type is {repr(kind)[:80]}, implemented are {', '.join(NEEDED)}; "
            "give a checkpoint with one of these"
        )
    present = {name: value for name, value in spelled.items() if value is not None}
    original = present.get(ORIGINAL)
    if kind == YARN and "factor" in spelled and type(original) is int and original > 0:
        present.setdefault("factor", positions / original)  # of null, as transformers
    missing = [name for name in NEEDED[kind] if name not in present]
    if missing:
        raise InputError(
            f"{source}: rope settings of the kind {kind!r} without {', '.join(missing)}; give the "
            "config.json of this checkpoint"
        )
    check_whole(present, source)
    usual = {"rope_theta": theta, ORIGINAL: positions}
    try:
        rope = typed(Rope, usual | present | {"rope_type": kind}, further=True)
    except ValueError as error:
        raise InputError(f"{source}: rope settings: {error}") from error
    if not (0 < rope.rope_theta < math.inf and 1 <= rope.factor < math.inf):
        raise InputError(
            f"{source}: rope_theta {rope.rope_theta} and factor {rope.factor}, expected a positive "
            "number and 1 or more"
        )
    return rope
