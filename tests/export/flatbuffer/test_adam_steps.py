"""Adam's steps through `adam_step` against torch.optim.AdamW, on the same batches."""

import adam_cases
import numpy as np
import pytest
from forward import forward_inputs, relative_error
from opt_forward import opt_inputs
from test_trajectory import checkpoint_layout

from pocketllm.runtime.contract import ADAM_INITIALIZE, FACTOR, LOSS, LR, STEP, adam_step_for

pytestmark = pytest.mark.desktop

STEPS, TOLERANCE = 20, 1e-4
LEARNING_RATE = 1e-3

# name: (case of adam_cases, weight decay, whether lr falls to 0)
ROBERTA = {"chunks": ("chunks", 0.0, False), "untied_decay_linear": ("swish", 0.5, True)}
OPT = {"options_decay": ("options", 0.5, False), "gold": ("gold", 0.0, True)}


def take_steps(checkpoint, bundle, engine, make_inputs, open_ready, weight_decay, linear):
    """Takes the steps on both sides, bucket after bucket, and compares losses and parameters."""
    import torch
    from adam_reference import INVARIANT, TorchAdam

    model = open_ready(bundle, engine)
    reference = TorchAdam(checkpoint, bundle, torch.float32, checkpoint_layout(bundle, model))
    before = {name: tensor.detach().numpy().copy() for name, tensor in reference.tensors.items()}
    model.engine.run(ADAM_INITIALIZE)
    losses, expected = [], []
    for number in range(1, STEPS + 1):
        tokens = bundle.lengths[number % 2]
        inputs = make_inputs(bundle, tokens, number)
        lr = LEARNING_RATE * ((STEPS - number + 1) / STEPS if linear else 1)
        outputs = model.engine.run(
            adam_step_for(tokens),
            **inputs,
            **{
                LR: np.float32([lr]),
                STEP: np.int32([number]),
                FACTOR: np.float32([1 - lr * weight_decay]),
            },
        )
        assert outputs.keys() == {LOSS}
        losses.append(float(outputs[LOSS][0]))
        expected.append(reference.step(inputs, lr, weight_decay))

    assert np.ptp(expected) > 0.05, "losses that hardly vary prove nothing"
    assert relative_error(losses, expected) <= TOLERANCE
    found = checkpoint_layout(bundle, model)
    moved = 0
    for name, tensor in reference.tensors.items():
        if name.endswith(INVARIANT):
            continue
        theirs = tensor.detach().numpy()
        moved += np.abs(theirs - before[name]).max() > 5 * LEARNING_RATE
        assert relative_error(found[name], theirs) <= TOLERANCE, name
    assert moved > len(before) / 2, "parameters that hardly move prove nothing"


@pytest.mark.parametrize("case", ROBERTA)
def test_steps_of_roberta_are_those_of_adamw(
    case, engine, make_checkpoint, make_bundle, open_ready
):
    name, weight_decay, linear = ROBERTA[case]
    changes, settings = adam_cases.ROBERTA[name]
    checkpoint = make_checkpoint(**changes)
    bundle = make_bundle(checkpoint, adam=True, **settings)

    def make_inputs(bundle, tokens, number):
        return forward_inputs(tokens, bundle.config["vocab_size"], seed=number % 4)

    take_steps(checkpoint, bundle, engine, make_inputs, open_ready, weight_decay, linear)


@pytest.mark.parametrize("case", OPT)
def test_steps_of_opt_are_those_of_adamw(
    case, engine, make_opt_checkpoint, make_bundle, open_ready
):
    name, weight_decay, linear = OPT[case]
    changes, settings = adam_cases.opt_settings(name)
    checkpoint = make_opt_checkpoint(**changes)
    bundle = make_bundle(checkpoint, adam=True, **settings)

    def make_inputs(bundle, tokens, number):
        return opt_inputs(bundle, tokens, number % 4)

    take_steps(checkpoint, bundle, engine, make_inputs, open_ready, weight_decay, linear)
