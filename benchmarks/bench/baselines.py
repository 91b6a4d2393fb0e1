"""The baselines in PyTorch: they differ in the trained parameters and in the rows of the LM head.

The LM head of a masked model runs only on the mask's row, as in the code of MeZO's authors. A
causal model's runs on every token, as in transformers and the authors' code; a second baseline runs
it only on the scored row, the one that the loss needs. The baselines of a LoRA bundle train all
parameters, and the same LoRA parameters on the base in float32 with the head on the scored row.
The one of its steps with gradients is PEFT's LoRA, likewise. The loss of all tokens needs the head
on every token.
"""

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import InputError

# Suffix of a baseline's keys in a batch's result ("pytorch", "ratio", "first_loss_difference") ->
# (name, heading of its column).
NAMES = {
    "": ("PyTorch", "PyTorch"),
    "_row": ("PyTorch, head on the option row", "PyTorch, row"),
    "_lora": ("PyTorch on the same LoRA parameters, base frozen in fp32", "PyTorch, LoRA"),
    "_peft": ("PyTorch + peft's LoRA with AdamW, base frozen in fp32", "PyTorch, peft"),
}
# Style -> suffixes of its baselines -> whether the LM head runs on every token.
FULL_HEAD = {contract.MASKED: {"": False}, contract.CAUSAL: {"": True, "_row": False}}
TUNES = (contract.FULL, contract.LORA)


def baselines_of(bundle: Bundle, optimizer: str = contract.MEZO) -> dict[str, dict]:
    """Returns {suffix: fields of Workload} of the baselines of a bundle's steps.

    Raises:
      InputError: no baseline trains the parameters that the bundle trains.
    """
    if bundle.tune not in TUNES:
        raise InputError(
            f"--against=pytorch: PyTorch's side trains all parameters or LoRA's, and "
            f"{bundle.folder} is of --tune={bundle.tune}; leave --against out"
        )
    scores_all = bundle.scoring == contract.TOKEN_LOSS
    heads = {"": True} if scores_all else FULL_HEAD[bundle.style]
    sides = {suffix: {"full_head": full} for suffix, full in heads.items()}
    if bundle.tune == contract.FULL:
        return sides
    lora = {"full_head": scores_all, "lora": True}
    return {"_peft": lora} if optimizer == contract.ADAM else sides | {"_lora": lora}


def measured_baselines(batch: dict) -> list[str]:
    """Returns the suffixes of the baselines that a batch's result holds."""
    return [suffix for suffix in NAMES if batch.get(f"pytorch{suffix}")]
