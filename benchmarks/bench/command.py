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
loss needs (benchmarks/bench/flops.py), for all sides alike. Peak anonymous is the highest RssAnon +
RssShmem, peak all pages the highest VmHWM.

With --tune=lora, prefix or head the base is frozen, and ours keeps it, packed for the kernels, in a
file beside the bundle. Ours is then measured in three processes: one makes that file ("packing"),
one finds it, one does without ("no file"). PyTorch is compared with LoRA only, twice: training all
parameters, and training the same LoRA parameters on the base in float32 ("PyTorch, LoRA"). It takes
the weights from a second bundle, exported with --tune=full, or given as --full_bundle. The losses
before the first step must be the same on an fp32 base; what int8 or int4 change is shown.

--memory_limit measures our steps once more in a process of its own that may not have more: a memory
cgroup, which counts all its pages, those of mapped files too. The caches are dropped before, and
the file of packed weights is made. Where no cgroup can be made it is RLIMIT_DATA, which does not
count pages of files; the table then says so.

--signal measures something else: along --directions directions, how well the projected gradients of
a quantised base correlate with those of the same model in fp32, at several eps. --model may be a
checkpoint folder; none: roberta-micro, with its trained weights. Without --tune and --base all
pairs are measured: so the runtime's default eps were chosen.

examples:
  pocketllm bench --model=roberta-large --batch_sizes=8,64 --against=pytorch --json=large.json
  pocketllm bench --model=opt-1.3b --batch_sizes=8 --against=pytorch
  pocketllm bench --bundle=BUNDLE --batch_sizes=8 --engine=tflite
  pocketllm bench --model=roberta-large --tune=lora --base=int8 --memory_limit=320M
  pocketllm bench --signal
  pocketllm bench --signal --model=CHECKPOINT --tune=lora --base=int8 --data=train.tsv
"""

import tempfile
from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.engine.packed_weights import packs
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import PACKAGES, cores, describe_machine
from pocketllm.runtime.host.progress import Progress
from pocketllm.tflite_models.presets import PRESETS

from ..isolation.worker import run_worker
from .comparison import check_losses, measure_batch
from .exporting import LENGTHS, export_measured, random_preset
from .flags import batch_sizes_of, check_bundle, check_flags, check_weights, limit_bytes_of
from .signal import run_signal
from .table import batch_table, conditions_table, headline, losses_table
from .workers import SGEMM
from .workload import Workload, count_parameters, second_length

MIN_TOKENS = 8
MEASURED = (*PACKAGES, "torch", "transformers", "tensorflow")

FLAGS = flags.FlagValues()
flags.DEFINE_string("model", None, "preset: " + ", ".join(PRESETS), flag_values=FLAGS)
flags.DEFINE_string("bundle", None, "measure this one, export nothing", flag_values=FLAGS)
flags.DEFINE_list("batch_sizes", ["8", "64"], "examples a step", flag_values=FLAGS)
flags.DEFINE_integer("seq_len", 64, "tokens of every example", MIN_TOKENS, flag_values=FLAGS)
flags.DEFINE_integer("steps", 3, "timed steps", 1, flag_values=FLAGS)
flags.DEFINE_enum("against", None, ["pytorch"], "also measure this", flag_values=FLAGS)
flags.DEFINE_enum("engine", "litert", list(contract.ENGINES), "interpreter", flag_values=FLAGS)
flags.DEFINE_integer("threads", None, "of every side; none: all cores", 1, flag_values=FLAGS)
flags.DEFINE_integer("seed", 0, "of weights, inputs and directions", 0, flag_values=FLAGS)
flags.DEFINE_enum("noise", None, list(contract.NOISE_KINDS), "the direction z", flag_values=FLAGS)
flags.DEFINE_enum("tune", contract.FULL, list(contract.TUNES), "what is trained", flag_values=FLAGS)
flags.DEFINE_enum(
    "base", contract.FP32, list(contract.BASES), "how the rest is stored", flag_values=FLAGS
)
flags.DEFINE_string(
    "full_bundle",
    None,
    "the checkpoint of a LoRA --bundle, exported with --tune=full, for --against",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "memory_limit",
    None,
    "also measure ours within this: bytes, or decimal K, M, G: 320M is 320,000,000 bytes",
    flag_values=FLAGS,
)
flags.DEFINE_bool("signal", False, "measure projected gradients instead", flag_values=FLAGS)
flags.DEFINE_integer("directions", 50, "of --signal", 3, flag_values=FLAGS)
flags.DEFINE_string(
    "data", None, "SST-2's rows for --signal; none: roberta-micro's", flag_values=FLAGS
)


def run(values) -> dict:
    """Measures; see the module's docstring."""
    if values.signal:
        return run_signal(values)
    batch_sizes = batch_sizes_of(values.batch_sizes)
    limit_bytes = limit_bytes_of(values.memory_limit)
    check_flags(values)
    threads = values.threads or cores()
    with tempfile.TemporaryDirectory(prefix="pocketllm-bench-") as folder:
        exported = None
        if not values.bundle:
            exported = _export_tuned(values, Path(folder) / "bundle")
        bundle = read_bundle(values.bundle or Path(folder) / "bundle", verify=False)
        check_bundle(values, bundle)
        weights = _full_weights(values, bundle, Path(folder) / "full") if values.against else None
        sgemm = run_worker("sgemm", SGEMM, {"threads": threads}, threads, stages=2)
        result = {
            "model": bundle.model_name,
            "parameters": count_parameters(bundle),
            "tune": bundle.tune,
            "base": bundle.base,
            "engine": values.engine,
            "noise": bundle.noise["kind"],
            "eps": bundle.default_eps,
            "seq_len": values.seq_len,
            "steps": values.steps,
            "seed": values.seed,
            "threads": threads,
            "machine": describe_machine(MEASURED),
            "export": exported,
            "sgemm": sgemm,
            "batches": [],
        }
        print(headline(result), flush=True)
        for batch_size in batch_sizes:
            work = _workload(values, bundle, batch_size, threads, weights)
            against = bool(values.against)
            batch = measure_batch(work, bundle, against, sgemm["gflops"], limit_bytes)
            tables = batch_table(batch), conditions_table(batch), losses_table(batch)
            print("\n".join(filter(None, tables)), flush=True)
            check_losses(batch, bundle.base)
            result["batches"].append(batch)
    return result


def _workload(values, bundle, batch_size, threads, weights):
    return Workload(
        bundle=str(bundle.folder.resolve()),
        engine=values.engine,
        threads=threads,
        batch_size=batch_size,
        seq_len=values.seq_len,
        steps=values.steps,
        seed=values.seed,
        second_len=second_length(bundle.lengths, values.seq_len),
        eps=bundle.default_eps,
        packed=packs(bundle, values.engine),
        weights=weights,
    )


def _export_tuned(values, out):
    noise = values.noise or contract.NOISE_KINDS[0]
    lengths = sorted({*LENGTHS, values.seq_len})
    tuning = [f"--noise={noise}", f"--tune={values.tune}", f"--base={values.base}"]
    took = _export(values, lengths, tuning, out, "with random weights")
    print(f"export: {took['seconds']:.1f} s, peak all pages {took['peak_rss_bytes'] / 1e9:.3f} GB")
    return took


def _full_weights(values, bundle: Bundle, out: Path) -> str | None:
    """Returns the folder of the bundle that PyTorch's weights come from; None: the measured one."""
    if bundle.tune == contract.FULL:
        return None
    if not values.full_bundle:
        if values.bundle:
            raise InputError(
                f"--bundle={values.bundle}: its base is frozen; give the same checkpoint, exported "
                "with --tune=full, as --full_bundle: PyTorch takes its weights from there"
            )
        _export(values, [values.seq_len], [], out, "for PyTorch, with the same weights")
    full = read_bundle(values.full_bundle or out, verify=False)
    check_weights(full, bundle)
    return str(full.folder.resolve())


def _export(values, lengths, settings, out, what):
    with Progress("export", len(lengths) + 3, "stage") as bar:
        bar.say(f"exporting {values.model} {what}")
        chosen = [*random_preset(values.model, values.seed, lengths), *settings]
        return export_measured(chosen, out, say=lambda line: bar.advance(1, line))
