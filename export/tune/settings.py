"""Tuning: which parameters are trained and how the others are stored, as settings and flags."""

from dataclasses import dataclass, field

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from .lora import EXTRAS, Lora

# Flag -> the kind of tuning that it belongs to.
OWNERS = {
    "lora_rank": contract.LORA,
    "lora_alpha": contract.LORA,
    "lora_targets": contract.LORA,
    "lora_extras": contract.LORA,
    "prefix_tokens": contract.PREFIX,
}


@dataclass(frozen=True)
class Tuning:
    """Settings.

    Attributes:
      kind: one of contract.TUNES.
      base: one of contract.BASES.
      lora: of the kind "lora".
      prefix_tokens: keys and values in every layer, of the kind "prefix".
      seed: of the added parameters' initial values.
    """

    kind: str = contract.FULL
    base: str = contract.FP32
    lora: Lora = field(default_factory=Lora)
    prefix_tokens: int = 5
    seed: int = 0


def define_tuning_flags(values: flags.FlagValues) -> None:
    """Defines --tune, --base and what goes with them."""
    flags.DEFINE_enum(
        "tune", contract.FULL, list(contract.TUNES), "what is trained", flag_values=values
    )
    flags.DEFINE_enum(
        "base",
        contract.FP32,
        list(contract.BASES),
        "how the rest is stored",
        flag_values=values,
    )
    flags.DEFINE_integer("lora_rank", 8, "rank of LoRA's matrices", flag_values=values)
    flags.DEFINE_float("lora_alpha", 16, "their product counts alpha / rank", flag_values=values)
    flags.DEFINE_list(
        "lora_targets", None, "layers that get them; none: query and value", flag_values=values
    )
    flags.DEFINE_enum(
        "lora_extras",
        "none",
        list(EXTRAS),
        "what is trained beside them; lm_head: the head's own parameters, as MeZO's RoBERTa does",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "prefix_tokens", 5, "tokens of --tune=prefix in every layer", flag_values=values
    )


def tuning_of(values) -> Tuning:
    """Returns the Tuning that the flags ask for; InputError where they contradict each other."""
    if values.tune == contract.FULL and values.base != contract.FP32:
        raise InputError(
            f"--base={values.base}: what is trained is stored in fp32, and --tune=full trains "
            "everything; add --tune=lora, prefix or head"
        )
    for name, kind in OWNERS.items():
        if values[name].present and values.tune != kind:
            raise InputError(f"--{name} goes with --tune={kind}, not {values.tune}")
    lora = Lora(
        values.lora_rank, values.lora_alpha, tuple(values.lora_targets or ()), values.lora_extras
    )
    return Tuning(values.tune, values.base, lora, values.prefix_tokens, values.seed)
