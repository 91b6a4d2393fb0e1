"""Worker: MeZO steps of a bundle in an engine, through the same code as `pocketllm train`.

Imports nothing outside the runtime: torch or TensorFlow in this process would count as its memory.
"""

import sys
import time
from types import SimpleNamespace

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.batches import micro_batches
from pocketllm.runtime.data.order import step_seed
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.host.memory import PeakMemory
from pocketllm.runtime.optim.mezo import MezoSettings, mezo_step

from ...isolation.worker import serve
from ..stopwatch import step_record, timed
from ..workload import FIRST, LR, Workload, count_parameters, random_rows


def measure(request: dict, report) -> dict:
    """Measures a Workload; see worker.serve."""
    work = Workload(**request)
    memory = PeakMemory()
    bundle = read_bundle(work.bundle, verify=False)
    model = open_model(bundle, engine=work.engine, threads=work.threads, packed_in_file=work.packed)
    report("initialising")
    started = time.perf_counter()
    model.initialize()
    initialize_seconds = time.perf_counter() - started

    def batches(step, tokens):
        rows = random_rows(work, bundle, step, tokens)
        return micro_batches(rows, bundle.batch_size, bundle.lengths, bundle.config["pad_token_id"])

    report("first loss")
    first = batches(FIRST, work.seq_len)
    first_loss = model.loss(first)
    engine, buckets = model.engine.describe(), {batch.tokens for batch in first}
    records = []
    for step, tokens, is_timed in work.schedule:
        report(f"step {step}")
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
    noise_seconds, forward_seconds = [], []
    watched = SimpleNamespace(perturb=timed(model.perturb, noise_seconds), decay=model.decay)
    settings = MezoSettings(LR, work.eps, weight_decay=0.0, lr_schedule="constant", steps=step)
    loss = timed(lambda: model.loss(inputs), forward_seconds)
    started = time.perf_counter()
    taken = mezo_step(watched, loss, step, step_seed(work.seed, step), settings)
    seconds = time.perf_counter() - started
    losses = taken.loss_plus, taken.loss_minus
    return step_record(step, seconds, noise_seconds, forward_seconds, losses)


if __name__ == "__main__":
    sys.exit(serve(measure))
