"""Gradients in the graph, converted and delegated, against torch.autograd."""

from unittest import mock

import adam_cases
import numpy as np
import pytest
import tiny
from forward import forward_inputs, relative_error
from opt_forward import opt_inputs

from pocketllm.runtime.bundle import read_bundle
from pocketllm.runtime.contract import adam_step_for

pytestmark = pytest.mark.desktop

# Measured over all cases, both engines: up to 2e-5 of the largest gradient of a parameter.
TOLERANCE = 1e-4


def gradient_function(forward, variables, tokens, aliases=()):
    """Stands in for `adam_step`: returns the gradients instead of using them."""
    import tensorflow as tf

    from pocketllm.export.adam import gradients_of
    from pocketllm.export.bind import Function
    from pocketllm.export.convert import convert

    def graph(tensors):
        loss, found = gradients_of(forward, tensors)
        return {"loss": loss} | {
            f"g{v.stream}": tf.reshape(found[v.name], v.shape)
            for v in variables
            if found[v.name] is not None
        }

    return Function(
        signature=adam_step_for(tokens),
        flatbuffer=convert(graph, forward.inputs),
        inputs=list(forward.inputs),
        variables=forward.variables,
        frozen=forward.constants,
    )


def gradients_in(model, inputs, tokens):
    """Returns {parameter: gradient in the checkpoint's shape}; zeros where there is none."""
    from pocketllm.export.trained_tensors import in_checkpoint_layout

    outputs = model.engine.run(adam_step_for(tokens), **inputs)

    def gradient(variable):
        return outputs.get(f"g{variable.stream}", np.zeros(variable.shape, np.float32))

    return {
        p.name: in_checkpoint_layout(p, [gradient(v) for v in p.variables])
        for p in model.bundle.parameters
    }


def export_gradients(checkpoint, folder, **settings):
    """Exports a bundle whose `adam_step` returns gradients; `gradients_in` gives them."""
    from pocketllm.export import exporter

    with mock.patch.object(exporter, "adam_step", gradient_function):
        return read_bundle(tiny.export(checkpoint, folder, adam=True, **settings))


def compare(checkpoint, folder, make_inputs, open_ready, settings):
    """Asserts that every gradient is PyTorch's, in both buckets and engines."""
    import torch
    from adam_reference import INVARIANT, TorchAdam
    from conftest import ENGINES

    bundle = export_gradients(checkpoint, folder, **settings)
    reference = TorchAdam(checkpoint, bundle, torch.float64)
    for tokens in bundle.lengths:
        inputs = make_inputs(bundle, tokens)
        expected = {n: g.numpy() for n, g in reference.gradients(inputs).items()}
        scale = max(np.abs(gradient).max() for gradient in expected.values())
        for engine in ENGINES:
            actual = gradients_in(open_ready(bundle, engine), inputs, tokens)
            for name, gradient in expected.items():
                if name.endswith(INVARIANT):
                    # transformers' OPT takes its softmax in float32, whatever the weights are
                    assert np.abs(gradient).max() <= 1e-7 * scale, "0 but for rounding"
                    assert np.abs(actual[name]).max() <= 1e-6 * scale, name
                else:
                    assert relative_error(actual[name], gradient) <= TOLERANCE, (name, engine)


@pytest.mark.parametrize("case", adam_cases.ROBERTA)
def test_gradients_of_roberta_are_those_of_autograd(case, make_checkpoint, open_ready, tmp_path):
    changes, settings = adam_cases.ROBERTA[case]

    def make_inputs(bundle, tokens):
        return forward_inputs(tokens, bundle.config["vocab_size"], seed=5)

    folder = tmp_path / "bundle"
    compare(make_checkpoint(**changes), folder, make_inputs, open_ready, settings)


@pytest.mark.parametrize("case", adam_cases.OPT)
def test_gradients_of_opt_are_those_of_autograd(case, make_opt_checkpoint, open_ready, tmp_path):
    changes, settings = adam_cases.opt_settings(case)

    def make_inputs(bundle, tokens):
        return opt_inputs(bundle, tokens, seed=6)

    folder = tmp_path / "bundle"
    compare(make_opt_checkpoint(**changes), folder, make_inputs, open_ready, settings)
