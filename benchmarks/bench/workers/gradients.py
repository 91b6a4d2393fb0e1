"""Worker: the projected gradients of a bundle along many directions, at several eps.

Imports nothing outside the runtime, as ours.py.
"""

import sys
from collections.abc import Callable

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step

from ...isolation.worker import serve


def measure(request: dict, report: Callable[[str], None]) -> dict:
    """Measures {"bundle", "data", "rows", "directions", "eps", "threads"}; see worker.serve.

    The rows are the first of the data file, the directions those of the seeds from 0 on. A learning
    rate of 0 brings every step back to where it began.

    Returns:
      {"runs", "rows", "projected_grads"}; the last has a list for each eps, a number a direction.
    """
    bundle = read_bundle(request["bundle"], verify=False)
    model = open_model(bundle, threads=request["threads"])
    report("initialising")
    model.initialize()
    data = load_dataset(request["data"], bundle)
    rows = min(request["rows"], len(data.examples))
    batches = batches_of(data, bundle, range(rows))

    def projected_grad(seed, eps):
        settings = MezoSettings(0.0, eps, weight_decay=0.0, lr_schedule="constant", steps=1)
        return mezo_step(model, lambda: model.loss(batches), 1, seed, settings).projected_grad

    found = []
    for eps in request["eps"]:
        report(f"eps {eps:g}")
        found.append([projected_grad(seed, eps) for seed in range(request["directions"])])
    return {"runs": model.engine.describe(), "rows": rows, "projected_grads": found}


if __name__ == "__main__":
    sys.exit(serve(measure))
