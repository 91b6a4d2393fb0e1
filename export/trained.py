"""Splits a model's parameters into trained and frozen ones, and adds what a tuning adds."""

from dataclasses import replace

from pocketllm.runtime import contract

from .families import FAMILIES, family_name
from .lora import extra_parameters, lora_parameters
from .tuning import Tuning
from .weights import Weights


def with_targets(tuning: Tuning, config) -> Tuning:
    """Returns the tuning with the family's LoRA targets where none were given."""
    targets = tuning.lora.targets or FAMILIES[family_name(config)].LORA_TARGETS
    return replace(tuning, lora=replace(tuning.lora, targets=targets))


def tuned(weights: Weights, tuning: Tuning) -> Weights:
    """Returns the weights with the tuning's own parameters, only what it trains not frozen.

    Raises:
      InputError: settings that do not fit the model.
    """
    if tuning.kind == contract.FULL:
        return weights
    added = lora_parameters(weights.parameters, tuning.lora, tuning.seed)
    trained = extra_parameters(weights.parameters, tuning.lora)

    def read(parameter):
        return added[parameter]() if parameter in added else weights.read(parameter)

    frozen = tuple(p for p in weights.parameters if p not in trained)
    return replace(weights, parameters=[*added, *trained], frozen=frozen, read=read)
