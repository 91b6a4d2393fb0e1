"""Splits a model's parameters into trained and frozen ones, and adds what a tuning adds."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pocketllm.runtime import contract

from ..graph.parameters import Parameter
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView
from ..models import ModelConfig, architecture_of
from ..weights.weights import Weights
from .lora import LoraView, extra_parameters, lora_parameters
from .prefix import PrefixView, prefix_parameters
from .settings import Tuning
from .word_head import WordHeadView, word_head_parameters


def with_targets(tuning: Tuning, config: ModelConfig) -> Tuning:
    """Returns the tuning with the architecture's LoRA targets where none were given."""
    targets = tuning.lora.targets or architecture_of(config).lora_targets
    return replace(tuning, lora=replace(tuning.lora, targets=targets))


def view_of(tuning: Tuning) -> Callable[..., WeightsView]:
    """Returns what makes the view through which a model reads the tuned weights."""
    views: dict[str, Callable[..., WeightsView]] = {
        contract.FULL: WeightsView,
        contract.LORA: partial(LoraView, scaling=tuning.lora.scaling),
        contract.PREFIX: PrefixView,
        contract.HEAD_WORDS: WordHeadView,
    }
    return views[tuning.kind]


def tuned(weights: Weights, config: ModelConfig, target: Target, tuning: Tuning) -> Weights:
    """Returns the weights with the tuning's own parameters, only what it trains not frozen.

    Raises:
      InputError: settings that do not fit the model or the task.
    """
    if tuning.kind == contract.FULL:
        return weights
    thawed: list[Parameter] = []
    if tuning.kind == contract.LORA:
        added = lora_parameters(weights.parameters, tuning.lora, tuning.seed)
        names = architecture_of(config).names
        thawed = extra_parameters(weights.parameters, tuning.lora, names)
    elif tuning.kind == contract.PREFIX:
        added = prefix_parameters(weights, config, tuning.prefix_tokens, tuning.seed)
    else:
        added = word_head_parameters(weights, config, target)

    def read(parameter):
        return added[parameter]() if parameter in added else weights.read(parameter)

    frozen = tuple(p for p in weights.parameters if p not in thawed)
    return replace(weights, parameters=[*added, *thawed], frozen=frozen, read=read)
