"""Tuning: which parameters are trained, and how the others are stored."""

from dataclasses import dataclass, field

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from .lora import Lora


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


FULL_TUNING = Tuning()


def check_tuning(tuning: Tuning, pairs: bool = False) -> Tuning:
    """Returns the tuning.

    Raises:
      InputError: a base that nothing is frozen on, or `pairs` of probes where all is trained.
    """
    if pairs and tuning.kind == contract.FULL:
        raise InputError(
            "--pairs: both probes in one forward pass need two values of all that is trained, and "
            "--tune=full trains everything; add --tune=lora, prefix or head"
        )
    if tuning.kind == contract.FULL and tuning.base != contract.FP32:
        raise InputError(
            f"--base={tuning.base}: what is trained is stored in fp32, and --tune=full trains "
            "everything; add --tune=lora, prefix or head"
        )
    return tuning
