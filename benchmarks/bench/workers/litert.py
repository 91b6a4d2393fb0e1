"""Worker: MeZO steps of a bundle in an engine, by the code of `pocketllm train`.

Imports nothing outside the runtime: torch or TensorFlow would count as memory of this side.
"""

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.batches import micro_batches
from pocketllm.runtime.data.order import step_seed
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.host.memory import PeakMemory
from pocketllm.runtime.optim.applied import Perturbable
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step

from ...isolation.worker import serve
from ..stopwatch import step_record, timed
from ..workload import FIRST, LR, Workload, count_parameters, random_rows


def measure(request: dict, say: Callable[[str], None]) -> dict:
    """Measures a Workload, given as a dict; `say` takes each stage; see worker.serve."""
    work = Workload(**request)
    memory = PeakMemory()
    bundle = read_bundle(work.bundle, verify=False)
    model = open_model(bundle, engine=work.engine, threads=work.threads, packed_in_file=work.packed)
    say("initialising")
    started = time.perf_counter()
    model.initialize()
    initialize_seconds = time.perf_counter() - started

    def batches(step, tokens):
        rows = random_rows(work, bundle, step, tokens)
        return micro_batches(rows, bundle.batch_size, bundle.lengths, bundle.special_tokens.pad)

    say("first loss")
    first = batches(FIRST, work.seq_len)
    first_loss = model.loss(first)
    engine, buckets = model.engine.describe(), {batch.tokens for batch in first}
    records = []
    for step, tokens, is_timed in work.schedule:
        say(f"step {step}")
        inputs = batches(step, tokens)
        buckets.update(batch.tokens for batch in inputs)
        record = _step(model, inputs, step, work)
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


def _step(model, inputs, step, work):
    """Takes one MeZO step on the batches `inputs`; returns its record (stopwatch.step_record)."""
    noise_seconds, forward_seconds = [], []
    perturb = timed(model.perturb, noise_seconds)
    timed_model = cast(Perturbable, SimpleNamespace(perturb=perturb))
    settings = MezoSettings(LR, work.eps, weight_decay=0.0, lr_schedule="constant", steps=step)
    loss = timed(lambda: model.loss(inputs), forward_seconds)
    started = time.perf_counter()
    result = mezo_step(timed_model, loss, step, step_seed(work.seed, step), settings)
    seconds = time.perf_counter() - started
    losses = result.loss_plus, result.loss_minus
    return step_record(step, seconds, noise_seconds, forward_seconds, losses)


if __name__ == "__main__":
    sys.exit(serve(measure))
