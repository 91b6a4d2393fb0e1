"""Gradients with and without recomputation: of TensorFlow's graph, and of a bundle."""

from unittest import mock

import numpy as np
import tiny
from desktop_child import in_child
from gradients import bind_gradients, gradient_function

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle

ROWS, TOKENS = 3, 12
# Of a feed-forward that are run again together: 36 are four blocks, of which the last is smaller.
BLOCK_ROWS = 10
# Tables and heads of several chunks.
PIECES = {"chunk_values": 16 * 100, "linear_values": 16 * 100}


def both_gradients(checkpoint, **settings):
    """Returns ({variable: gradient}, the same with recomputation) at drawn values, in a child."""
    return in_child("recomputed.both_here", checkpoint, **settings)


def both_here(checkpoint, **settings):
    """Does it in this process."""
    from pocketllm.export.graph import weights_view
    from pocketllm.export.signatures.forward import recomputing

    config, forward = _forward_pass(checkpoint, settings)
    tensors = _drawn(forward, config.vocab_size)
    with mock.patch.object(weights_view, "FEED_FORWARD_ROWS", BLOCK_ROWS):
        return tuple(_gradients(graph, tensors) for graph in (forward, recomputing(forward)))


def _forward_pass(checkpoint, settings):
    """Returns (config, forward pass) that an export of these settings converts."""
    from pocketllm.export import pipeline
    from pocketllm.export.plan import plan_of
    from pocketllm.export.signatures.forward import forward_pass
    from pocketllm.export.tune.apply import view_of

    sizes = {"batch_size": ROWS, "lengths": (TOKENS,), **PIECES}
    with mock.patch.object(pipeline, "export_bundle") as export:
        tiny.export(checkpoint, checkpoint.parent / "never", **sizes, **settings)
    plan = plan_of(*export.call_args.args[:3])
    return plan.settings.config, forward_pass(
        plan.settings.config,
        plan.variables,
        plan.target,
        tied=plan.weights.tied,
        batch=ROWS,
        tokens=TOKENS,
        constants=plan.constants,
        view=view_of(plan.settings.tuning),
    )


def _drawn(forward, vocabulary):
    """Draws every input of a forward pass: weights, tokens, and where the scored ones stand."""
    rng = np.random.default_rng(5)
    drawn = {
        name: rng.standard_normal(spec.shape).astype(np.float32) * np.float32(0.3)
        for name, spec in forward.inputs.items()
    }
    sequences = forward.inputs[contract.INPUT_IDS].shape[0]
    lengths = rng.integers(8, TOKENS + 1, sequences)
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int32)
    numbers = {
        contract.INPUT_IDS: rng.integers(4, vocabulary, mask.shape) * mask,
        contract.ATTENTION_MASK: mask,
        contract.LOSS_MASK: mask * rng.integers(0, 2, mask.shape),
        contract.MASK_POSITION: lengths - 2,
        contract.LAST_POSITION: lengths - 1,
        contract.OPTION_START: lengths - 2,
        contract.OPTION_TOKENS: np.full(sequences, 2),
        contract.LABEL: np.arange(ROWS) % 2,
    }
    for name in numbers.keys() & drawn.keys():
        drawn[name] = numbers[name].astype(np.int32)
    return drawn | {contract.WEIGHT: np.array([1, 2, 0], np.float32)}


def _gradients(forward, tensors):
    """Returns {variable: gradient}, without the variables that the loss does not depend on."""
    import tensorflow as tf

    from pocketllm.export.graph.recompute import BARRIER
    from pocketllm.export.signatures.gradients import gradients_of

    names = list(forward.inputs)
    values = tensors | {BARRIER: np.zeros(1, np.float32)}

    @tf.function(autograph=False)
    def function(*inputs):
        _, gradients = gradients_of(forward, dict(zip(names, inputs)))
        return {name: g for name, g in gradients.items() if g is not None}

    # Its rewriting fuses different operators in the two graphs, which round differently.
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    outputs = function(*(tf.constant(values[name]) for name in names))
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False, **before})
    return {name: gradient.numpy() for name, gradient in outputs.items()}


def export_both(checkpoint, folder, **settings):
    """Exports gradients of a bundle: its `forward_loss` keeps all, its `adam_step` recomputes."""
    return read_bundle(in_child("recomputed.export_here", checkpoint, folder, **settings))


def export_here(checkpoint, folder, **settings):
    """Does the export in this process; returns the bundle's folder."""
    from dataclasses import replace

    from pocketllm.export import forward_passes, pipeline
    from pocketllm.export.graph import weights_view

    def plain(forward, tokens, aliases):
        variables = tuple(dict.fromkeys(forward.variables.values()))
        kept = gradient_function(forward, variables, tokens)
        return replace(kept, signature=contract.forward_loss_for(tokens), aliases=aliases)

    with (
        mock.patch.object(forward_passes, "forward_loss", plain),
        mock.patch.object(pipeline, "_bind_adam", bind_gradients),
        mock.patch.object(weights_view, "FEED_FORWARD_ROWS", BLOCK_ROWS),
    ):
        return tiny.export(checkpoint, folder, adam=True, **settings)
