"""Worker: steps of a bundle in an engine, of MeZO or Adam, by the code of `pocketllm train`.

Imports nothing outside the runtime: torch or TensorFlow would count as memory of this side.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.batches import Batch, micro_batches
from pocketllm.runtime.data.order import step_seed
from pocketllm.runtime.engine.model import Model, open_model
from pocketllm.runtime.host.memory import PeakMemory
from pocketllm.runtime.optim import adam, fzoo
from pocketllm.runtime.optim.interface import Minibatch
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step
from pocketllm.runtime.optim.normaliser import Normaliser

from ...isolation.worker import serve
from ..stopwatch import directions_record, gradient_record, step_record, timed
from ..workload import FIRST, FZOO, LR, Workload, count_parameters, random_rows


def calls_of(work: Workload, lengths: Sequence[int]) -> frozenset[str]:
    """Returns the signatures that a workload calls of a bundle of these lengths."""
    stems = CALLS[work.optimizer]
    if work.pairs:
        stems = stems - {contract.FORWARD_LOSS} | {contract.FORWARD_PAIR}
    longest = {tokens for _, tokens, _ in work.schedule}
    buckets = {min(length for length in lengths if length >= tokens) for tokens in longest}
    return contract.in_buckets(stems, buckets)


def measure(request: dict, say: Callable[[str], None]) -> dict:
    """Measures a Workload, given as a dict; `say` takes each stage; see worker.serve."""
    work = Workload(**request)
    memory = PeakMemory()
    bundle = read_bundle(work.bundle, verify=False)
    model = open_model(
        bundle,
        engine=work.engine,
        threads=work.threads,
        packed_in_file=work.packed,
        calls=calls_of(work, bundle.lengths),
    )
    say("initialising")
    started = time.perf_counter()
    model.initialize()
    initialize_seconds = time.perf_counter() - started

    def batches(step, tokens):
        rows = random_rows(work, bundle, step, tokens)
        return micro_batches(rows, bundle.batch_size, bundle.lengths, bundle.special_tokens.pad)

    say("first loss")
    first = batches(FIRST, work.seq_len)
    first_loss, take = BEGINNINGS[work.optimizer](model, work, first)
    engine, buckets = model.engine.describe(), {batch.tokens for batch in first}
    records = []
    for step, tokens, is_timed in work.schedule:
        say(f"step {step}")
        inputs = batches(step, tokens)
        buckets.update(batch.tokens for batch in inputs)
        record = take(inputs, step)
        if is_timed:
            records.append(record)
    peak = memory.stop()
    return {
        "runs": engine,
        "initialize_seconds": initialize_seconds,
        "buckets": sorted(buckets),
        "micro_batches": len(first),
        "first_loss": first_loss,
        "steps": records,
        "parameters": count_parameters(bundle),
        "peak_anon_bytes": peak.anon_bytes,
        "peak_rss_bytes": peak.rss_bytes,
    }


# Takes a step on batches, and returns its record (stopwatch.py).
Step = Callable[[Sequence[Batch], int], dict]


def _timed_step(model: Model, inputs: Sequence[Batch], take_step: Callable) -> tuple:
    """Takes a step of the noise passes of `model`, on a loss of the batches `inputs`, or a pair.

    Returns:
      (what `take_step` returns, wall seconds of the step, of its noise passes, of its forward
      passes).
    """
    noise_seconds, forward_seconds = [], []
    passes = SimpleNamespace(perturb=timed(model.perturb, noise_seconds))
    loss = timed(lambda: model.loss(inputs), forward_seconds)
    pair = timed(partial(model.pair, inputs), forward_seconds)
    started = time.perf_counter()
    result = take_step(passes, loss, pair)
    return result, time.perf_counter() - started, noise_seconds, forward_seconds


def begin_mezo(model: Model, work: Workload, first: Sequence[Batch]) -> tuple[float, Step]:
    """Returns the loss of the batches `first`, and what takes a MeZO step.

    With pairs no forward pass is run by itself: its graph would count as memory of the step.
    """

    def take(inputs, step):
        settings = MezoSettings(LR, work.eps, weight_decay=0.0, lr_schedule="constant", steps=step)
        seed = step_seed(work.seed, step)

        def take_step(passes, loss, pair):
            return mezo_step(passes, loss, step, seed, settings, pair=pair if work.pairs else None)

        result, seconds, noise, forward = _timed_step(model, inputs, take_step)
        if work.pairs:  # a pair counts as two forward passes
            forward = [forward[0] / 2] * 2
        return step_record(step, seconds, noise, forward, (result.loss_plus, result.loss_minus))

    return model.pair(first, FIRST, 0.0)[0] if work.pairs else model.loss(first), take


def begin_fzoo(model: Model, work: Workload, first: Sequence[Batch]) -> tuple[float, Step]:
    """Returns the loss of the batches `first`, and what takes an fzoo step of the default's size.

    On a base of integers losses are taken on both sides, as in `pocketllm train`.
    """
    settings = fzoo.FzooSettings(
        LR,
        work.eps,
        weight_decay=0.0,
        lr_schedule="constant",
        steps=work.steps,
        directions=fzoo.DIRECTIONS,
        sides=fzoo.default_sides(model.bundle),
    )
    normaliser = Normaliser()

    def take(inputs, step):
        seed = step_seed(work.seed, step)
        result, seconds, noise, forward = _timed_step(
            model,
            inputs,
            lambda passes, loss, _: fzoo.fzoo_step(
                passes, loss, step + 1, seed, settings, normaliser=normaliser
            ),
        )
        return directions_record(
            step, seconds, noise, forward, directions=fzoo.DIRECTIONS, losses=result.losses
        )

    return model.loss(first), take


def begin_adam(model: Model, work: Workload, first: Sequence[Batch]) -> tuple[float, Step]:
    """Returns the loss before a step on the batches `first`, and what takes the next ones.

    No forward pass is run by itself: its graph would count as memory of the step.
    """
    settings = adam.AdamSettings(LR, weight_decay=0.0, lr_schedule="constant", steps=work.steps)
    take_step = adam.OPTIMIZER.begin(model, settings, ())

    def take(inputs, step):
        seconds, seed = [], step_seed(work.seed, step)
        minibatch = Minibatch(step + 1, seed, inputs, lambda: model.loss(inputs))
        result = timed(take_step, seconds)(minibatch)
        return gradient_record(step, seconds[0], result.loss)

    return take(first, FIRST)["loss"], take


MEZO_CALLS = {contract.PERTURB_AND_UPDATE, contract.FORWARD_LOSS}
CALLS = {contract.MEZO: MEZO_CALLS, FZOO: MEZO_CALLS, contract.ADAM: adam.CALLS}
BEGINNINGS = {contract.MEZO: begin_mezo, FZOO: begin_fzoo, contract.ADAM: begin_adam}


if __name__ == "__main__":
    sys.exit(serve(measure))
