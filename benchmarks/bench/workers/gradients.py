"""Worker: projected gradients of a bundle along many directions, at several eps.

Imports nothing outside the runtime, like the worker litert.
"""

import sys
from collections.abc import Callable

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step

from ...isolation.worker import serve


def measure(request: dict, say: Callable[[str], None]) -> dict:
    """Measures projected gradients; see worker.serve.

    A learning rate of 0 returns the parameters to their initial values after every step.

    Args:
      request: {"bundle": folder, "data": file, "rows": how many of its first rows, "directions":
        how many seeds from 0 on, "eps": list of probe sizes, "threads"}.
      say: takes the name of each stage.

    Returns:
      {"runs": the engine, "rows", "projected_grads": for each eps a list, a number a direction}.
    """
    bundle = read_bundle(request["bundle"], verify=False)
    model = open_model(bundle, threads=request["threads"])
    say("initialising")
    model.initialize()
    data = load_dataset(request["data"], bundle)
    rows = min(request["rows"], len(data.examples))
    batches = batches_of(data, bundle, range(rows))

    def projected_grad(seed, eps):
        settings = MezoSettings(0.0, eps, weight_decay=0.0, lr_schedule="constant", steps=1)
        return mezo_step(model, lambda: model.loss(batches), 1, seed, settings).projected_grad

    projected_grads = []
    for eps in request["eps"]:
        say(f"eps {eps:g}")
        projected_grads.append([projected_grad(seed, eps) for seed in range(request["directions"])])
    return {"runs": model.engine.describe(), "rows": rows, "projected_grads": projected_grads}


if __name__ == "__main__":
    sys.exit(serve(measure))
