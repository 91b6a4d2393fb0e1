"""Flags of what is trained, and of how the rest is stored."""

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError

from ..tune.lora import EXTRAS, Lora

# Flag -> the kind of tuning that it belongs to.
OWNERS = {
    "lora_rank": contract.LORA,
    "lora_alpha": contract.LORA,
    "lora_targets": contract.LORA,
    "lora_extras": contract.LORA,
    "prefix_tokens": contract.PREFIX,
}


def define_tuning_flags(values: flags.FlagValues) -> None:
    """Defines --tune, --base and what goes with them."""
    define = definer(values)
    define.enum("tune", contract.FULL, list(contract.TUNES), "parameters that are trained")
    define.enum("base", contract.FP32, list(contract.BASES), "storage of the frozen parameters")
    define.integer("lora_rank", 8, "rank of LoRA's matrices")
    define.float("lora_alpha", 16, "numerator of LoRA's scaling, alpha / rank")
    define.list("lora_targets", None, "layers with LoRA; none: query and value")
    define.enum(
        "lora_extras",
        "none",
        list(EXTRAS),
        "parameters trained beside LoRA; lm_head: the head's own, as MeZO's RoBERTa does",
    )
    define.integer("prefix_tokens", 5, "tokens of --tune=prefix in every layer")


def lora_of(values) -> Lora:
    """Returns LoRA's settings; InputError for a flag that does not go with --tune."""
    for name, kind in OWNERS.items():
        if values[name].present and values.tune != kind:
            raise InputError(f"--{name} goes with --tune={kind}, not {values.tune}")
    targets = tuple(values.lora_targets or ())
    return Lora(values.lora_rank, values.lora_alpha, targets, values.lora_extras)
