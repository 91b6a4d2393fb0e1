"""Adam's steps through `adam_step` beside torch.optim.AdamW's, on the same batches."""

import numpy as np
from forward import relative_error
from trajectory import checkpoint_layout

from pocketllm.runtime.contract import ADAM_INITIALIZE, FACTOR, LOSS, LR, STEP, adam_step_for

STEPS, TOLERANCE = 20, 1e-4


LEARNING_RATE = 1e-3


def take_steps(checkpoint, bundle, engine, make_inputs, open_ready, *, weight_decay, linear):
    """Takes the steps on both sides, bucket after bucket, and compares losses and parameters."""
    import torch
    from adam_reference import INVARIANT, TorchAdam

    model = open_ready(bundle, engine)
    reference = TorchAdam(checkpoint, bundle, torch.float64, checkpoint_layout(bundle, model))
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
    ours = checkpoint_layout(bundle, model)
    moved = 0
    for name, tensor in reference.tensors.items():
        if name.endswith(INVARIANT):
            continue
        theirs = tensor.detach().numpy()
        moved += np.abs(theirs - before[name]).max() > 5 * LEARNING_RATE
        assert relative_error(ours[name], theirs) <= TOLERANCE, name
    assert moved > len(before) / 2, "parameters that hardly move prove nothing"
