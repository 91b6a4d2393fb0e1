"""Tuning: which parameters are trained and how the others are stored, as settings and flags."""

from dataclasses import dataclass, field

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from .lora import EXTRAS, Lora


@dataclass(frozen=True)
class Tuning:
    """Settings.

    Attributes:
      kind: one of contract.TUNES.
      base: one of contract.BASES.
      lora: of the kind "lora".
      seed: of the added parameters' initial values.
    """

    kind: str = contract.FULL
    base: str = contract.FP32
    lora: Lora = field(default_factory=Lora)
    seed: int = 0


def define_tuning_flags(values: flags.FlagValues) -> None:
    """Defines --tune, --base and what goes with them."""
    flags.DEFINE_enum(
        "tune", contract.FULL, [contract.FULL, contract.LORA], "what is trained", flag_values=values
    )
    flags.DEFINE_enum(
        "base", contract.FP32, [contract.FP32], "how the rest is stored", flag_values=values
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


def tuning_of(values) -> Tuning:
    """Returns the Tuning that the flags ask for; InputError where they contradict each other."""
    if values.tune == contract.FULL and values.base != contract.FP32:
        raise InputError(
            f"--base={values.base}: what is trained is stored in fp32, and --tune=full trains "
            "everything; add --tune=lora, prefix or head"
        )
    for name in ("lora_rank", "lora_alpha", "lora_targets", "lora_extras"):
        if values[name].present and values.tune != contract.LORA:
            raise InputError(f"--{name} goes with --tune=lora, not {values.tune}")
    lora = Lora(
        values.lora_rank, values.lora_alpha, tuple(values.lora_targets or ()), values.lora_extras
    )
    return Tuning(values.tune, values.base, lora, values.seed)
