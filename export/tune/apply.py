"""Splits a model's parameters into trained and frozen ones, and adds what a tuning adds."""

from dataclasses import replace

from pocketllm.runtime import contract

from ..models import FAMILIES, family_name
from ..models.parameters import Parameter
from ..models.scoring import Target
from ..models.weights import Weights
from .lora import extra_parameters, lora_parameters
from .prefix import prefix_parameters
from .settings import Tuning
from .word_head import word_head_parameters


def with_targets(tuning: Tuning, config) -> Tuning:
    """Returns the tuning with the family's LoRA targets where none were given."""
    targets = tuning.lora.targets or FAMILIES[family_name(config)].LORA_TARGETS
    return replace(tuning, lora=replace(tuning.lora, targets=targets))


def tuned(weights: Weights, config, target: Target, tuning: Tuning) -> Weights:
    """Returns the weights with the tuning's own parameters, only what it trains not frozen.

    Raises:
      InputError: settings that do not fit the model or the task.
    """
    if tuning.kind == contract.FULL:
        return weights
    thawed: list[Parameter] = []
    if tuning.kind == contract.LORA:
        added = lora_parameters(weights.parameters, tuning.lora, tuning.seed)
        thawed = extra_parameters(weights.parameters, tuning.lora)
    elif tuning.kind == contract.PREFIX:
        added = prefix_parameters(weights, config, tuning.prefix_tokens, tuning.seed)
    else:
        added = word_head_parameters(weights, config, target)

    def read(parameter):
        return added[parameter]() if parameter in added else weights.read(parameter)

    frozen = tuple(p for p in weights.parameters if p not in thawed)
    return replace(weights, parameters=[*added, *thawed], frozen=frozen, read=read)
