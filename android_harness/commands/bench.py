"""Measures MeZO steps of a bundle on the phone, as `pocketllm bench` does on the desktop.

The bundle must be here and, pushed, on the phone. Every measurement runs in its own process: first
the phone's float32 matrix multiply (sgemm), then each batch size, with full rows of --seq_len
random tokens, one untimed step and --steps timed ones. The table shows medians.

example:
  pocketllm device bench --bundle=mine --batch_sizes=8 --seq_len=64 --json=phone.json
"""

import json
from dataclasses import asdict

from absl import flags

from pocketllm.benchmarks.bench.flags import batch_sizes_of
from pocketllm.benchmarks.bench.flops import forward_flops
from pocketllm.benchmarks.bench.summary import summarise
from pocketllm.benchmarks.bench.table import batch_table
from pocketllm.benchmarks.bench.workers import LITERT, SGEMM
from pocketllm.benchmarks.bench.workload import (
    Workload,
    check_scoring,
    count_parameters,
    second_length,
)
from pocketllm.benchmarks.isolation.worker import thread_variables
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.engine.packed_weights import packs
from pocketllm.runtime.errors import InputError

from ..phone import job
from ..phone.adb import check_output
from ..phone.paths import result_file
from .shared import define_phone_flags, open_phone, pushed_bundle, run_job

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_phone_flags(FLAGS)
define.string("bundle", None, "folder of a bundle that was pushed")
define.list("batch_sizes", ["8"], "examples a step")
define.integer("seq_len", 64, "tokens of every example", 8)
define.integer("steps", 3, "timed steps", 1)
define.integer("threads", None, "kernel threads; none: all cores", 1)
define.integer("seed", 0, "random seed of inputs and directions", 0)
define.integer("sgemm_size", 2048, "rows of sgemm's matrices", 16)
JOB = "bench"
ENGINE = "litert"


def run(values) -> dict:
    """Measures; see the module's docstring."""
    required(values, "bundle")
    batch_sizes = batch_sizes_of(values.batch_sizes)
    bundle = read_bundle(values.bundle, verify=False)
    check_scoring(bundle)
    if values.seq_len > max(bundle.lengths):
        raise InputError(
            f"--seq_len={values.seq_len}: the bundle's longest bucket has {max(bundle.lengths)} "
            "tokens; take fewer"
        )
    phone = open_phone(values)
    folder = pushed_bundle(phone, values.bundle)
    threads = values.threads or int(check_output(phone, "nproc", "nproc"))
    name = check_output(phone, "getprop ro.product.model", "getprop").strip()

    def measure(module, request):
        variables = {job.MODULE: module} | thread_variables(threads)
        arguments = [json.dumps(request), result_file(JOB)]
        return run_job(phone, JOB, arguments, values.reconnect_seconds, variables=variables)

    sgemm = measure(SGEMM, {"threads": threads, "size": values.sgemm_size})
    print(
        f"{bundle.model_name}, {count_parameters(bundle) / 1e6:.3f} M parameters trained, "
        f"{values.seq_len} tokens, threads {threads}, on {name}; "
        f"sgemm {sgemm['gflops']:.1f} GFLOP/s",
        flush=True,
    )
    batches = []
    for batch_size in batch_sizes:
        work = Workload(
            bundle=folder,
            engine=ENGINE,
            threads=threads,
            batch_size=batch_size,
            seq_len=values.seq_len,
            steps=values.steps,
            seed=values.seed,
            second_len=second_length(bundle.lengths, values.seq_len),
            eps=bundle.default_eps,
            packed=packs(bundle, ENGINE),
        )
        result = measure(LITERT, asdict(work))
        flops = batch_size * forward_flops(bundle, values.seq_len)
        summary = summarise(result, flops, result["parameters"], sgemm["gflops"])
        batch = {
            "batch_size": batch_size,
            "forward_flops": flops,
            "ours": result | {"summary": summary},
        }
        print(batch_table(batch), flush=True)
        batches.append(batch)
    return {"device": name, "threads": threads, "sgemm": sgemm, "batches": batches}
