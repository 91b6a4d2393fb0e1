"""MeZO steps through the signatures beside as many in PyTorch, fed the same z and batches."""

import numpy as np
from forward import relative_error
from small_runs import mezo_steps

from pocketllm.runtime.data.order import step_members, step_seed
from pocketllm.runtime.run.loop import train

# Measured: up to 1.3e-5 from PyTorch in float64, while the parameters move by
# 4% to 50% of their size. At three times the learning rate PyTorch in float32 leaves PyTorch in
# float64 by 2e-3: such steps prove nothing.
STEPS, TOLERANCE = 50, 5e-5


def checkpoint_layout(bundle, model):
    """Returns {parameter: values in the checkpoint's shape} of what the engine holds."""
    from pocketllm.export.results.trained_tensors import in_checkpoint_layout

    values = dict(model.read())
    return {
        p.name: in_checkpoint_layout(p, [values[v.name] for v in p.variables])
        for p in bundle.parameters
    }


def torch_run(reference, data, config):
    """Takes the same steps in PyTorch; returns the losses [steps, 2]."""
    losses = []
    steps = config.settings.steps
    for number in range(1, steps + 1):
        members = step_members(len(data.examples), config.batch_size, config.seed, number)
        hyper = config.settings
        share = (steps - number + 1) / steps if hyper.lr_schedule == "linear" else 1
        losses.append(
            reference.step(
                [data.examples[i] for i in members],
                step_seed(config.seed, number),
                hyper.lr * share,
                hyper.eps,
                hyper.weight_decay,
            )
        )
    return np.array(losses)


def compare(bundle, checkpoint, data, config, *, model, folder):
    """Runs both; returns the relative errors of losses and parameters, and how far they moved."""
    from pytorch_mezo_reference import TorchMezo

    start = checkpoint_layout(bundle, model)
    train(model, data, folder, config)
    losses = np.array([[step.loss_plus, step.loss_minus] for step in mezo_steps(folder)])
    reference = TorchMezo(checkpoint, bundle, start)
    expected = torch_run(reference, data, config)
    ended = checkpoint_layout(bundle, model)
    errors, moved = {}, {}
    for name, tensor in reference.tensors.items():
        values = tensor.detach().numpy()
        errors[name] = relative_error(ended[name], values)
        moved[name] = relative_error(start[name], values)
    return relative_error(losses, expected), errors, moved, expected


def check(comparison):
    """Says the figures and asserts them: equal to the reference, and far from the start."""
    loss_error, errors, moved, losses = comparison
    print(
        f"losses {losses.min():.3f} to {losses.max():.3f}, relative error {loss_error:.1e}; "
        f"parameters' {max(errors.values()):.1e}, moved by {min(moved.values()):.3f} to "
        f"{max(moved.values()):.3f} of their size"
    )
    assert loss_error <= TOLERANCE
    assert max(errors.values()) <= TOLERANCE, max(errors, key=errors.get)
    assert min(moved.values()) > 200 * TOLERANCE, min(moved, key=moved.get)
