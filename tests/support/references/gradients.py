"""Bundles whose `adam_step` returns gradients instead of using them."""

from unittest import mock

import numpy as np
import tiny
from desktop_child import in_child

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.contract import FULL, adam_step_for, forward_loss_for

# Measured over all cases, both engines: up to 2e-5 of the largest gradient of a parameter.
TOLERANCE = 1e-4


def gradient_function(forward, variables, tokens):
    """Converts an `adam_step` that returns the gradients instead of using them."""
    import tensorflow as tf

    from pocketllm.export.flatbuffer.convert import ConvertedFunction, convert
    from pocketllm.export.signatures.gradients import gradients_of

    def graph(tensors):
        outputs, gradients = gradients_of(forward, tensors)
        return {"loss": outputs["loss"]} | {
            f"g{v.stream}": tf.reshape(gradients[v.name], v.shape)
            for v in variables
            if gradients[v.name] is not None
        }

    return ConvertedFunction(
        signature=adam_step_for(tokens),
        flatbuffer=convert(graph, forward.inputs),
        inputs=list(forward.inputs),
        variables=forward.variables,
        constants=forward.constants,
    )


def bind_gradients(model, forwards, plan, say):
    """Stands in for the export's `_bind_adam`: each `adam_step` is a `gradient_function`."""
    from pocketllm.export.flatbuffer.bind import bind
    from pocketllm.export.signatures.forward import recomputing

    for tokens, forward in forwards.items():
        if plan.is_frozen:
            forward = recomputing(forward)
        bind(model, gradient_function(forward, plan.variables, tokens))


def gradients_in(model, inputs, tokens):
    """Returns {parameter: gradient in the checkpoint's shape}; zeros where there is none."""
    from pocketllm.export.results.trained_tensors import in_checkpoint_layout

    outputs = model.engine.run(adam_step_for(tokens), **inputs)

    def gradient(variable):
        return outputs.get(f"g{variable.stream}", np.zeros(variable.shape, np.float32))

    return {
        p.name: in_checkpoint_layout(p, [gradient(v) for v in p.variables])
        for p in model.bundle.parameters
    }


def export_gradients(checkpoint, folder, **settings):
    """Exports a bundle whose `adam_step` returns gradients; `gradients_in` gives them."""
    return read_bundle(in_child("gradients.export_here", checkpoint, folder, **settings))


def export_here(checkpoint, folder, **settings):
    """Does the export in this process; returns the bundle's folder."""
    from pocketllm.export import pipeline

    with mock.patch.object(pipeline, "_bind_adam", bind_gradients):
        return tiny.export(checkpoint, folder, adam=True, **settings)


def export_adam_first(checkpoint, folder, **settings):
    """Exports a bundle whose first signature is a step of Adam: an engine shows its nodes alone."""
    return read_bundle(in_child("gradients.export_adam_here", checkpoint, folder, **settings))


def export_adam_here(checkpoint, folder, **settings):
    """Does the export in this process; returns the bundle's folder."""
    from dataclasses import replace

    from pocketllm.export import forward_passes
    from pocketllm.export.signatures.adam import adam_step
    from pocketllm.export.signatures.forward import recomputing
    from pocketllm.export.signatures.gradients import used_variables

    def adam_first(forward, tokens, aliases):
        if settings.get("kind", FULL) != FULL:
            forward = recomputing(forward)
        variables = tuple(dict.fromkeys(forward.variables.values()))
        used = used_variables(forward)
        step = adam_step(forward, variables, tuple(v for v in variables if v.name in used), tokens)
        return replace(step, signature=forward_loss_for(tokens), aliases=aliases)

    with mock.patch.object(forward_passes, "forward_loss", adam_first):
        return tiny.export(checkpoint, folder, **settings)
