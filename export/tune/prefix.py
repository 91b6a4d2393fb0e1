"""Prefix tuning (arXiv 2101.00190): keys and values that every token attends to, in every layer.

As MeZO does it: positions count the real tokens alone, nothing is reparametrised, and the prefix
starts as the keys and values that the model itself computes for random tokens.
"""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from ..graph.layers import split_heads
from ..graph.parameters import Parameter
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView
from ..models import ModelConfig, architecture_of
from ..weights.weights import Weights


def prefix_of(name: str) -> str:
    """Names the keys or values [P, D] that stand before those of a layer's projection."""
    return f"{name}.prefix"


class PrefixView(WeightsView):
    """Weights whose attention sees P more keys and values in every layer."""

    @property
    def prefix_tokens(self):
        """P."""
        prefix = next(self.tensors[name] for name in self.tensors if name.endswith(prefix_of("")))
        return prefix.shape[-2]

    def with_prefix(self, name, rows):
        """Returns the prefix, as it was learnt, and the row's own, [B, H, P + T, K]."""
        batch, heads = rows.shape[:2]
        prefix = self.tensors[prefix_of(name)]
        # TILE would leave the delegate; adding zeros that broadcast does not.
        if len(prefix.shape) == 2:
            prefix = split_heads(prefix, 1, heads) + tf.zeros([batch, 1, 1, 1])  # B H P K
        else:  # of probes, whose rows stand one after another
            probes, width = prefix.shape[0], prefix.shape[-1]
            prefix = split_heads(prefix, probes, heads)
            prefix = tf.reshape(prefix, [probes, 1, -1]) + tf.zeros([1, batch // probes, 1])
            prefix = tf.reshape(prefix, [batch, heads, -1, width // heads])
        return tf.concat([prefix, rows], 2)

    def attendable(self, bias):
        """Lets all of a bias [B, 1, q, t] attend to the P tokens of the prefix."""
        return tf.concat([tf.zeros([*bias.shape[:3], self.prefix_tokens]), bias], 3)


def prefix_parameters(
    weights: Weights, config: ModelConfig, tokens: int, seed: int
) -> dict[Parameter, Callable[[], np.ndarray]]:
    """Returns {keys or values [tokens, D] of a layer: function that gives the initial ones}.

    Raises:
      InputError: fewer tokens than 1, or more than the model has positions for.
    """
    if not 1 <= tokens <= config.max_tokens:
        raise InputError(f"--prefix_tokens={tokens}: expected 1 to {config.max_tokens}")
    activations: dict[str, np.ndarray] = {}

    def initial(name):
        if not activations:
            activations.update(_real_activations(weights, config, tokens, seed))
        return activations[name]

    parameters = {}
    for name, width in architecture_of(config).key_value_layers(config).items():
        keys_or_values = Parameter(prefix_of(name), (tokens, width), "vector", True)
        parameters[keys_or_values] = lambda name=name: initial(name)
    return parameters


class _Streamed(Mapping):
    """The tensors of a model, read when they are looked up, and not kept."""

    def __init__(self, weights: Weights):
        self._read = weights.read
        self._parameters = {p.name: p for p in weights.parameters}

    def __getitem__(self, name):
        parameter = self._parameters[name]
        values = self._read(parameter)
        return [tf.constant(values[None])] if parameter.kind == "linear" else tf.constant(values)

    def __contains__(self, name):
        return name in self._parameters

    def __iter__(self):
        return iter(self._parameters)

    def __len__(self):
        return len(self._parameters)


class _RecordingView(WeightsView):
    """Weights that remember the keys and values of every layer."""

    def __init__(self, *weights):
        super().__init__(*weights)
        self.recorded: dict[str, np.ndarray] = {}

    def with_prefix(self, name, rows):
        joined = tf.transpose(rows[0], [1, 0, 2])  # of 1 H P K: P H K
        self.recorded[name] = joined.numpy().reshape(joined.shape[0], -1)
        return rows


def _real_activations(weights, config, tokens, seed):
    """Runs random tokens through the model; returns {layer: its keys or values [tokens, D]}."""
    architecture = architecture_of(config)
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, (1, tokens))
    # The loss is of no interest; that of any one label word takes no second sequence.
    target = Target(contract.WORDS, (0,), 1, 0)
    positions = contract.TARGET_INPUTS[architecture.style, target.scoring]
    inputs = {
        contract.INPUT_IDS: tf.constant(ids, tf.int32),
        contract.ATTENTION_MASK: tf.ones([1, tokens], tf.int32),
        **{name: tf.zeros([1], tf.int32) for name in positions},
        contract.LABEL: tf.zeros([1], tf.int32),
        contract.WEIGHT: tf.ones([1]),
    }
    tables = {
        p.name: [(0, tf.constant(weights.read(p)))] for p in weights.parameters if p.kind == "table"
    }
    view = _RecordingView(_Streamed(weights), tables, architecture.head, weights.tied)
    architecture.forward_loss(config, target, inputs, view)
    return view.recorded
