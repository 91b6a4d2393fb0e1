"""Measures MeZO steps of a model: time, noise pass, forward rate, memory; against PyTorch if asked.

Without --bundle the preset is exported with random weights into a temporary folder (TMPDIR; it must
lie on a disk, because a file in memory counts as memory), and what the export took is reported.
Every measurement runs in a process of its own, one after the other: first the machine's own float32
matrix multiply (sgemm), then for each batch size ours and PyTorch, from the same weights on the
same inputs. A batch is full rows of --seq_len random tokens. One step warms up, --steps are timed,
and one more runs in the neighbouring length bucket, so that the peaks are those of a run with two
buckets. Shown are medians; the ratio says how many times better ours is. PyTorch's OPT is measured
twice: with the LM head on every token, as transformers runs it, and on the row of the label word
only ("PyTorch, row"); RoBERTa's head runs on the mask's row. GFLOP/s count the products that the
loss needs (benchmarks/flops.py), for all sides alike. Peak anonymous is the highest RssAnon +
RssShmem, peak all pages the highest VmHWM.

examples:
  pocketllm bench --model=roberta-large --batch_sizes=8,64 --against=pytorch --json=large.json
  pocketllm bench --model=opt-1.3b --batch_sizes=8 --against=pytorch
  pocketllm bench --bundle=BUNDLE --batch_sizes=8 --engine=tflite
"""

import tempfile
from importlib import util
from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.bundle import read_bundle
from pocketllm.runtime.engine import ENGINES, cores
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.machine import PACKAGES, describe_machine
from pocketllm.runtime.progress import Progress
from pocketllm.tflite_models.presets import PRESETS

from .comparison import check_losses, count_parameters, measure_batch
from .measured_export import LENGTHS, export_measured
from .table import batch_table, losses_table
from .worker import run_worker
from .workload import Workload, check_scoring, second_length

MIN_TOKENS = 8
MEASURED = (*PACKAGES, "torch", "transformers", "tensorflow")

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", None, "preset: " + ", ".join(PRESETS), flag_values=FLAGS)
flags.DEFINE_string("bundle", None, "measure this one, export nothing", flag_values=FLAGS)
flags.DEFINE_list("batch_sizes", ["8", "64"], "examples a step", flag_values=FLAGS)
flags.DEFINE_integer("seq_len", 64, "tokens of every example", MIN_TOKENS, flag_values=FLAGS)
flags.DEFINE_integer("steps", 3, "timed steps", 1, flag_values=FLAGS)
flags.DEFINE_enum("against", None, ["pytorch"], "also measure this", flag_values=FLAGS)
flags.DEFINE_enum("engine", "litert", list(ENGINES), "interpreter", flag_values=FLAGS)
flags.DEFINE_integer("threads", None, "of every side; none: all cores", 1, flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "of weights, inputs and directions", 0, flag_values=FLAGS)
flags.DEFINE_enum("noise", None, list(contract.NOISE_KINDS), "the direction z", flag_values=FLAGS)


def run(values) -> dict:
    """Measures; see the module's docstring."""
    batch_sizes = _batch_sizes(values.batch_sizes)
    _check(values)
    threads = values.threads or cores()
    with tempfile.TemporaryDirectory(prefix="pocketllm-bench-") as folder:
        exported = None
        if not values.bundle:
            exported = _export(values, Path(folder) / "bundle")
        bundle = read_bundle(values.bundle or Path(folder) / "bundle", verify=False)
        _check_bundle(values, bundle)
        sgemm = run_worker("sgemm", "sgemm", {"threads": threads}, threads, stages=2)
        result = {
            "model": bundle.model_name,
            "parameters": count_parameters(bundle),
            "engine": values.engine,
            "noise": bundle.noise["kind"],
            "seq_len": values.seq_len,
            "steps": values.steps,
            "seed": values.seed,
            "threads": threads,
            "machine": describe_machine(MEASURED),
            "export": exported,
            "sgemm": sgemm,
            "batches": [],
        }
        print(_headline(result), flush=True)
        for batch_size in batch_sizes:
            work = _workload(values, bundle, batch_size, threads)
            batch = measure_batch(work, bundle, bool(values.against), sgemm["gflops"])
            print(f"{batch_table(batch)}\n{losses_table(batch)}", flush=True)
            check_losses(batch)
            result["batches"].append(batch)
    return result


def _workload(values, bundle, batch_size, threads):
    return Workload(
        bundle=str(bundle.folder.resolve()),
        engine=values.engine,
        threads=threads,
        batch_size=batch_size,
        seq_len=values.seq_len,
        steps=values.steps,
        seed=values.seed,
        second_len=second_length(bundle.lengths, values.seq_len),
    )


def _export(values, out):
    stages = len({*LENGTHS, values.seq_len}) + 3
    with Progress("export", stages, "stage") as bar:
        bar.say(f"exporting {values.model} with random weights")
        took = export_measured(
            values.model,
            values.seq_len,
            values.noise or contract.NOISE_KINDS[0],
            values.seed,
            out,
            on_line=lambda line: bar.advance(1, line),
        )
    print(f"export: {took['seconds']:.1f} s, peak all pages {took['peak_rss_bytes'] / 1e9:.3f} GB")
    return took


def _batch_sizes(texts):
    try:
        sizes = [int(text) for text in texts]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise InputError(f"--batch_sizes={','.join(texts)}: expected whole numbers of 1 or more")
    return sizes


def _check(values):
    """Refuses, before minutes of work, what cannot be measured."""
    if values.model is None and values.bundle is None:
        raise InputError("--model is missing (or --bundle); see `pocketllm bench --help`")
    if values.model is not None and values.model not in PRESETS:
        raise InputError(f"--model={values.model}: expected a preset ({', '.join(PRESETS)})")
    if values.bundle and values.noise:
        raise InputError("--noise goes with an export of --model, a --bundle has its noise already")
    module, distribution = ENGINES[values.engine]
    if not _is_installed(module):
        raise InputError(f"--engine={values.engine}: not installed; install {distribution}")
    for package in ("torch", "transformers") if values.against else ():
        if not _is_installed(package):
            raise InputError(f"--against={values.against}: {package} is missing; install it")


def _is_installed(module):
    """Says whether a module's top package can be found, without importing it."""
    return util.find_spec(module.split(".")[0]) is not None


def _check_bundle(values, bundle):
    if values.model and values.model != bundle.model_name:
        raise InputError(
            f"--bundle={values.bundle}: a bundle of {bundle.model_name}, --model is {values.model}"
        )
    check_scoring(bundle)
    if values.seq_len > max(bundle.lengths):
        raise InputError(
            f"--seq_len={values.seq_len}: the bundle's longest bucket has {max(bundle.lengths)} "
            "tokens; export it with longer --lengths"
        )


def _headline(result):
    versions = result["machine"]["versions"]
    names = ("ai-edge-litert", "tflite-runtime", "torch")
    engines = ", ".join(f"{name} {versions[name]}" for name in names if name in versions)
    return (
        f"{result['model']}, {result['parameters'] / 1e6:.1f} M parameters, {result['seq_len']} "
        f"tokens, engine {result['engine']}, threads {result['threads']}, on "
        f"{result['machine']['cpu']} ({engines}); sgemm {result['sgemm']['gflops']:.1f} GFLOP/s"
    )
