"""Worker: a trial of a race in PyTorch: LoRA of peft, MeZO as its authors wrote it, or AdamW.

It has the rows, the batches and the bucket of `pocketllm train` with the same seed, and the base in
float32. Dropout is off, as it is in a bundle.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.batches import bucket_of, training_row
from pocketllm.runtime.data.dataset import Dataset, load_dataset, load_split
from pocketllm.runtime.data.order import step_members, step_seed
from pocketllm.runtime.host.memory import PeakMemory
from pocketllm.runtime.optim.adam import AdamSettings
from pocketllm.runtime.optim.schedule import learning_rate
from pocketllm.runtime.tasks.draws import split_numbers

from ...isolation.worker import serve
from ..pytorch.model import load_model, one_batch, row_scores
from ..pytorch.peft import add_peft
from ..workers.pytorch import adam_step, forward_only, mezo_step
from .torch_request import TorchRequest

EVALUATED_ROWS = 32  # in one forward pass


def measure(fields: dict, say: Callable[[str], None]) -> dict:
    """Trains as a TorchRequest says, given as a dict; see worker.serve.

    Returns:
      {"curve", "step_seconds", "peak_anon_bytes", "held_out"}, as of trials.run_trial.
    """
    request = TorchRequest(**fields)
    torch.set_num_threads(request.threads)
    torch.manual_seed(request.seed)
    with PeakMemory() as memory:
        say("loading")
        bundle = read_bundle(request.bundle, verify=False)
        model = load_model(read_bundle(request.weights, verify=False))
        trained = add_peft(model, bundle)
        data, dev = load_split(request.data, bundle, *split_numbers(request.split, bundle.task))
        scores = _Scores(model, bundle, data.pad_id)
        take = (_adam if request.optimizer == contract.ADAM else _mezo)(request, bundle, trained)
        curve, seconds, best = _run(request, take, scores, (data, dev), say)
        peak = memory.peak()
    held_out = None
    if best and request.held_out:
        step, values = best
        model.load_state_dict(values, strict=False)
        held_out = {"step": step, **scores.evaluated(load_dataset(request.held_out, bundle))}
    return {
        "curve": curve,
        "step_seconds": median(seconds),
        "peak_anon_bytes": peak.anon_bytes,
        "held_out": held_out,
    }


class _Scores:
    """A model's scores of rows."""

    def __init__(self, model, bundle, pad_id):
        self._model, self._bundle, self._pad_id = model, bundle, pad_id

    def of(self, data: Dataset, members: Sequence[int]):
        """Returns (scores [B, C], labels [B]) of rows."""
        rows = [training_row(data.examples[i], self._bundle.scoring) for i in members]
        tokens = bucket_of(max(row.tokens for row in rows), self._bundle.lengths)
        batch = one_batch(rows, tokens, self._pad_id)
        labels = torch.from_numpy(batch.inputs[contract.LABEL]).long()
        return row_scores(self._model, self._bundle, batch), labels

    def loss(self, data: Dataset, members: Sequence[int]):
        """Returns the mean loss of rows, [] float32."""
        return torch.nn.functional.cross_entropy(*self.of(data, members))

    def state(self) -> dict:
        """Returns a copy of what is trained, by name."""
        named = self._model.named_parameters()
        return {name: p.detach().clone() for name, p in named if p.requires_grad}

    def evaluated(self, data: Dataset) -> dict:
        """Returns {"accuracy", "loss", "examples"} of a data set."""
        right, total, count = 0, 0.0, len(data.examples)
        with torch.inference_mode():
            for first in range(0, count, EVALUATED_ROWS):
                members = range(first, min(first + EVALUATED_ROWS, count))
                scores, labels = self.of(data, members)
                right += int((scores.argmax(-1) == labels).sum())
                loss = torch.nn.functional.cross_entropy(scores, labels, reduction="sum")
                total += loss.item()
        return {"accuracy": right / count, "loss": total / count, "examples": count}


def _run(request, take, scores, sets, say):
    """Returns (curve or None, seconds of the steps, (best step, the model's state then))."""
    data, dev = sets
    curve, seconds, best, highest = [], [], None, -1.0
    for number in range(request.steps + 1):
        if number:
            members = step_members(len(data.examples), request.batch_size, request.seed, number)
            started = time.perf_counter()
            loss = take(lambda members=members: scores.loss(data, members), number)
            seconds.append(time.perf_counter() - started)
            if not math.isfinite(loss):
                return None, seconds, None
        if number % request.eval_every and number != request.steps:
            continue
        say(f"step {number}")
        point = scores.evaluated(dev)
        curve.append({"step": number, "seconds": sum(seconds), **point})
        if point["accuracy"] > highest:
            highest = point["accuracy"]
            best = number, scores.state()
    return curve, seconds, best


def _rate(request, number):
    settings = AdamSettings(request.lr, 0.0, request.schedule, request.steps)
    return learning_rate(settings, number)


def _adam(request, _, trained):
    optimizer = torch.optim.AdamW(trained, lr=request.lr, weight_decay=0.0)

    def step(loss_of, number):
        for group in optimizer.param_groups:
            group["lr"] = _rate(request, number)
        return adam_step(optimizer, loss_of)

    return step


def _mezo(request, bundle, trained):
    def step(loss_of, number):
        record = mezo_step(
            trained,
            forward_only(loss_of),
            seed=step_seed(request.seed, number),
            lr=_rate(request, number),
            eps=bundle.default_eps,
            step=number,
        )
        return (record["loss_plus"] + record["loss_minus"]) / 2

    return step


if __name__ == "__main__":
    sys.exit(serve(measure))
