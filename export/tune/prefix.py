"""Prefix tuning (arXiv 2101.00190): keys and values that every token attends to, in every layer.

As MeZO does it: positions count the real tokens alone, nothing is reparametrised, and the prefix
starts as the keys and values that the model itself computes for random tokens.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from ..models import FAMILIES, family_name
from ..models.layers import RECORD, prefix_of
from ..models.parameters import Parameter
from ..models.scoring import Target
from ..models.weights import Weights


def prefix_parameters(
    weights: Weights, config, tokens: int, seed: int
) -> dict[Parameter, Callable[[], np.ndarray]]:
    """Returns {keys or values [tokens, D] of a layer: function that gives the initial ones}.

    Raises:
      InputError: fewer tokens than 1, or more than the model has positions for.
    """
    if not 1 <= tokens <= config.max_tokens:
        raise InputError(f"--prefix_tokens={tokens}: expected 1 to {config.max_tokens}")
    names = FAMILIES[family_name(config)].key_value_layers(config)
    shape = (tokens, config.hidden_size)
    found: dict[str, np.ndarray] = {}

    def initial(name):
        if not found:
            found.update(_real_activations(weights, config, tokens, seed))
        return found[name]

    parameters = [Parameter(prefix_of(name), shape, "vector", True) for name in names]
    return {p: lambda name=name: initial(name) for p, name in zip(parameters, names)}


class _Streamed(dict):
    """A graph's tensors, its weights read when they are asked for and not kept."""

    def __init__(self, weights: Weights, tensors: dict):
        super().__init__(tensors)
        self._read = weights.read
        self._parameters = {p.name: p for p in weights.parameters}

    def __contains__(self, name):
        return name in self._parameters or super().__contains__(name)

    def __missing__(self, name):
        parameter = self._parameters[name]
        values = self._read(parameter)
        return [tf.constant(values.T[None])] if parameter.kind == "linear" else tf.constant(values)


def _real_activations(weights, config, tokens, seed):
    """Runs random tokens through the model; returns {layer: its keys or values [tokens, D]}."""
    family = FAMILIES[family_name(config)]
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, (1, tokens))
    # The loss is of no interest; that of any one label word takes no second sequence.
    target = Target(contract.WORDS, (0,), 1, 0)
    inputs = {
        contract.INPUT_IDS: tf.constant(ids, tf.int32),
        contract.ATTENTION_MASK: tf.ones([1, tokens], tf.int32),
        **{name: tf.zeros([1], tf.int32) for name in family.TARGET_INPUTS[target.scoring]},
        contract.LABEL: tf.zeros([1], tf.int32),
        contract.WEIGHT: tf.ones([1]),
    }
    recorded: dict[str, tf.Tensor] = {}
    tensors = _Streamed(weights, inputs | {RECORD: recorded})
    tables = {
        p.name: [(0, tf.constant(weights.read(p)))] for p in weights.parameters if p.kind == "table"
    }
    family.forward_loss(config, target, weights.tied, tensors, tables, [])
    return {name: values.numpy()[0] for name, values in recorded.items()}
