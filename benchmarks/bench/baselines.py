"""The sides in PyTorch that ours is compared with: they differ in what is trained, and in the head.

RoBERTa's LM head runs on the mask's row only, as in the code of MeZO's authors. OPT's runs on every
token, as transformers and the authors run it; because nothing but the scored row is needed, a
second side runs it there alone. A LoRA bundle is compared with the training of all parameters, and
with that of the same LoRA parameters on the base in float32, its head on the scored row alone.
"""

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import InputError

# Suffix of a side's keys in a batch's result ("pytorch", "ratio", "first_loss_difference") ->
# (its name, its column's heading).
NAMES = {
    "": ("PyTorch", "PyTorch"),
    "_row": ("PyTorch, head on the option row", "PyTorch, row"),
    "_lora": ("PyTorch on the same LoRA parameters, base frozen in fp32", "PyTorch, LoRA"),
}
# Style -> suffixes of its sides -> whether the LM head runs on every token.
FULL_HEAD = {contract.MASKED: {"": False}, contract.CAUSAL: {"": True, "_row": False}}
TUNES = (contract.FULL, contract.LORA)


def sides_of(bundle: Bundle) -> dict[str, dict]:
    """Returns {suffix: fields of Workload} of the sides that a bundle is compared with.

    Raises:
      InputError: there is no side in PyTorch for what it trains.
    """
    if bundle.tune not in TUNES:
        raise InputError(
            f"--against=pytorch: PyTorch's side trains all parameters or LoRA's, and "
            f"{bundle.folder} is of --tune={bundle.tune}; leave --against out"
        )
    sides = {suffix: {"full_head": full} for suffix, full in FULL_HEAD[bundle.style].items()}
    if bundle.tune == contract.LORA:
        sides["_lora"] = {"full_head": False, "lora": True}
    return sides


def measured(batch: dict) -> list[str]:
    """Returns the suffixes of the sides that a batch's result holds."""
    return [suffix for suffix in NAMES if batch.get(f"pytorch{suffix}")]
