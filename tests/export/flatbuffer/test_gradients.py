"""Gradients in the graph, converted and delegated, against torch.autograd."""

import adam_cases
import numpy as np
import pytest
from forward import forward_inputs, relative_error
from gradients import TOLERANCE, export_gradients, gradients_in
from opt_forward import opt_inputs

pytestmark = pytest.mark.desktop


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
