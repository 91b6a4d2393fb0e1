"""The whole of MeZO's training loop in one file: `pocketllm train` without its journal.

    python examples/mezo_loop.py BUNDLE DATA

BUNDLE is a folder from `pocketllm export`, DATA a labelled file. θ are the trained parameters: they
stay inside the model. z(seed) is a random direction that is made again from its seed, never stored.
"""

import sys

from pocketllm.runtime import (
    batches_of,
    evaluate,
    load_dataset,
    open_model,
    read_bundle,
    step_members,
    step_seed,
)

STEPS, BATCH_SIZE, LR, SEED = 20, 8, 1e-4, 0

bundle = read_bundle(sys.argv[1])
data = load_dataset(sys.argv[2], bundle)
model = open_model(bundle)
model.initialize()  # θ = the checkpoint's values
eps = bundle.default_eps

for step in range(1, STEPS + 1):
    members = step_members(len(data.examples), BATCH_SIZE, SEED, step)
    batches = batches_of(data, bundle, members)  # micro-batches, of the sizes the model takes
    seed = step_seed(SEED, step)
    model.perturb(seed, eps)  # θ + eps·z
    loss_plus = model.loss(batches)
    model.perturb(seed, -2 * eps)  # θ - eps·z
    loss_minus = model.loss(batches)
    projected_grad = (loss_plus - loss_minus) / (2 * eps)
    model.perturb(seed, eps - LR * projected_grad)  # back to θ, and down the slope
    print(f"step {step} loss {(loss_plus + loss_minus) / 2:.4f}", flush=True)
print(evaluate(model, data).describe())
