"""Worker: trains in PyTorch on a bundle's weights and a data file's rows, with MeZO or Adam.

Its batches are those of `pocketllm train` with the same seed, padded to the longest bucket,
each in one forward pass; it writes the same run directory. Adam is torch.optim.AdamW. Dropout is
off, as it is in a bundle.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch
from transformers import PreTrainedModel

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.contract import ADAM, MEZO
from pocketllm.runtime.data.batches import training_row
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.data.order import step_members, step_seed
from pocketllm.runtime.host.cpu import describe_machine
from pocketllm.runtime.host.files import write_json
from pocketllm.runtime.host.memory import PeakMemory
from pocketllm.runtime.journal.lines import append_step
from pocketllm.runtime.optim.adam import AdamStep
from pocketllm.runtime.optim.mezo import MezoStep
from pocketllm.runtime.optim.table import OPTIMIZERS
from pocketllm.runtime.run.folder import CONFIG
from pocketllm.runtime.run.sessions import MACHINE, Session

from ..bench.pytorch.model import load_model, one_batch, row_loss
from ..bench.workers.pytorch import adam_step, forward_only, mezo_step
from ..isolation.worker import serve
from .request import Request

PACKAGES = ("pocketllm", "torch", "transformers", "numpy", "tokenizers")


def mezo_stepper(model: PreTrainedModel, bundle: Bundle, request: Request) -> Callable:
    """Returns a function that takes MeZO step `number` on a batch and returns its MezoStep."""
    parameters = list(model.parameters())

    def step(batch, number):
        loss = forward_only(lambda: row_loss(model, bundle, batch))
        seed = step_seed(request.seed, number)
        record = mezo_step(parameters, loss, seed=seed, lr=request.lr, eps=request.eps, step=number)
        plus, minus = record["loss_plus"], record["loss_minus"]
        return MezoStep(number, seed, plus, minus, (plus - minus) / (2 * request.eps), request.lr)

    return step


def adam_stepper(model: PreTrainedModel, bundle: Bundle, request: Request) -> Callable:
    """Returns a function that takes Adam step `number` on a batch and returns its AdamStep."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=request.lr, weight_decay=0.0)

    def step(batch, number):
        loss = adam_step(optimizer, lambda: row_loss(model, bundle, batch))
        return AdamStep(number, loss, request.lr)

    return step


# PyTorch's own implementations of the optimizers that the paper compares.
STEPPERS = {MEZO: mezo_stepper, ADAM: adam_stepper}


def measure(fields: dict, say: Callable[[str], None]) -> dict:
    """Trains as a Request says, given as a dict; `say` takes each stage; see worker.serve.

    Returns:
      Fields of the result of `pocketllm train`.
    """
    request, seconds = Request(**fields), []
    folder = Path(request.run)
    with PeakMemory() as memory:
        torch.set_num_threads(request.threads)
        say("loading")
        bundle = read_bundle(request.bundle, verify=False)
        model = load_model(bundle)
        data = load_dataset(request.data, bundle, training=True)
        engine = f"pytorch (torch {torch.__version__}, {torch.get_num_threads()} threads)"
        _begin(folder, request, bundle, data, engine)
        take = STEPPERS[request.optimizer](model, bundle, request)
        for number in range(1, request.steps + 1):
            say(f"step {number}")
            started = time.monotonic()
            members = step_members(len(data.examples), request.batch_size, request.seed, number)
            rows = [training_row(data.examples[i], bundle.scoring) for i in members]
            step = take(one_batch(rows, bundle.lengths[-1], data.pad_id), number)
            seconds.append(time.monotonic() - started)
            peak = memory.peak()
            append_step(folder, step, seconds[-1], peak)
        peak = memory.peak()
    return {
        "run": str(folder),
        "last_step": request.steps,
        "step_seconds": median(seconds),
        "peak_anon_bytes": peak.anon_bytes,
        "peak_rss_bytes": peak.rss_bytes,
        "engine": engine,
    }


def _begin(folder, request, bundle, data, engine):
    """Writes the files of a run directory that stand before the first step."""
    config = asdict(request) | {"bundle_checksum": bundle.checksum, "train_sha256": data.sha256}
    unused = {"eps"} - set(OPTIMIZERS[request.optimizer].option_names)
    for name in ("bundle", "data", "run", "threads", *unused):
        del config[name]
    write_json(folder / CONFIG, config)
    machine = describe_machine(PACKAGES)
    session = Session(1, bundle.model_name, bundle.task.name, engine, **machine)
    write_json(folder / MACHINE, {"sessions": [asdict(session)]})


if __name__ == "__main__":
    sys.exit(serve(measure))
