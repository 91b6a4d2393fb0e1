"""Tuning: which parameters are trained and how the others are stored, as settings and flags."""

from dataclasses import dataclass, field

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
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
    """Defines --tune, --base and the settings of each kind of tuning."""
    define = definer(values)
    define.enum("tune", contract.FULL, list(contract.TUNES), "parameters that are trained")
    define.enum("base", contract.FP32, list(contract.BASES), "storage of the frozen parameters")
    define.integer("lora_rank", 8, "rank of LoRA's matrices")
    define.float("lora_alpha", 16, "LoRA scaling is alpha / rank")
    define.list("lora_targets", None, "layers with LoRA; none: query and value")
    define.enum(
        "lora_extras",
        "none",
        list(EXTRAS),
        "parameters trained beside LoRA; lm_head: the head's own, as MeZO's RoBERTa does",
    )
    define.integer("prefix_tokens", 5, "tokens of --tune=prefix in every layer")


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
