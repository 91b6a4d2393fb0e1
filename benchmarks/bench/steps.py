"""Measures steps of a bundle, which is exported first if none is given.

Flags that are shared with --signal are defined in command.py.
"""

import tempfile
from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.engine.packed_weights import packs
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import PACKAGES, cores, describe_machine
from pocketllm.runtime.host.progress import Progress

from ..isolation.worker import run_worker
from .comparison import check_losses, measure_batch
from .exporting import BATCH_SIZE, LENGTHS, export_measured, random_preset
from .flags import batch_sizes_of, check_bundle, check_flags, check_weights, limit_bytes_of
from .table import batch_table, conditions_table, headline, losses_table
from .workers import SGEMM
from .workload import OPTIMIZERS, Workload, count_parameters, second_length

MIN_TOKENS = 8
MEASURED = (*PACKAGES, "torch", "transformers", "tensorflow")

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle to measure; none: export --model")
define.list("batch_sizes", ["8", "64"], "examples a step")
define.integer("seq_len", 64, "tokens of every example", MIN_TOKENS)
define.integer("steps", 3, "timed steps", 1)
define.enum("against", None, ["pytorch"], "baseline to measure too")
define.enum("optimizer", contract.MEZO, list(OPTIMIZERS), "whose steps to measure")
define.bool("pairs", False, "evaluate both probes of a step in one forward pass")
define.enum("task", "sst2", ["sst2", "lm"], "label words, or lm: the loss of all tokens")
define.string(
    "full_bundle",
    None,
    "bundle of a LoRA --bundle's checkpoint, exported with --tune=full, for --against",
)
define.string(
    "memory_limit",
    None,
    "limit for one more measurement of ours: bytes, or decimal K, M, G: 320M is 320,000,000 bytes",
)


def run_steps(values) -> dict:
    """Measures every batch size, prints the tables and returns the command's result."""
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
            "task": bundle.task.name,
            "optimizer": values.optimizer,
            "pairs": values.pairs,
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
        optimizer=values.optimizer,
        pairs=values.pairs,
    )


def exported_lengths(seq_len: int, optimizer: str) -> list[int]:
    """Returns the buckets of an export; beside gradients, slow to convert, those that are used."""
    lengths = sorted({*LENGTHS, seq_len})
    if optimizer != contract.ADAM:
        return lengths
    return sorted({seq_len, second_length(lengths, seq_len) or seq_len})


def _export_tuned(values, out):
    """Exports the bundle to measure; returns the measurement of the export."""
    noise = values.noise or contract.NOISE_KINDS[0]
    lengths = exported_lengths(values.seq_len, values.optimizer)
    tuning = [f"--noise={noise}", f"--tune={values.tune}", f"--base={values.base}"]
    if values.optimizer == contract.ADAM:
        tuning.append(f"--optimizers={contract.MEZO},{values.optimizer}")
    tuning += ["--pairs"] if values.pairs else []
    export = _export(values, lengths, tuning, out, purpose="with random weights")
    seconds, gigabytes = export["seconds"], export["peak_rss_bytes"] / 1e9
    print(f"export: {seconds:.1f} s, peak all pages {gigabytes:.3f} GB")
    return export


def _full_weights(values, bundle: Bundle, out: Path) -> str | None:
    """Returns the folder of the bundle that gives PyTorch its weights; None: the measured bundle.

    It is --full_bundle, or is exported to `out`.
    """
    if bundle.tune == contract.FULL:
        return None
    if not values.full_bundle:
        if values.bundle:
            raise InputError(
                f"--bundle={values.bundle}: its base is frozen; give the same checkpoint, exported "
                "with --tune=full, as --full_bundle: PyTorch takes its weights from there"
            )
        _export(values, [values.seq_len], [], out, purpose="for PyTorch, with the same weights")
    full = read_bundle(values.full_bundle or out, verify=False)
    check_weights(full, bundle)
    return str(full.folder.resolve())


def _export(values, lengths, settings, out, *, purpose):
    """Exports the preset of --model with random weights; shows its progress."""
    with Progress("export", None, "stage") as bar:
        bar.say(f"exporting {values.model} {purpose}")
        rows = min(BATCH_SIZE, max(batch_sizes_of(values.batch_sizes)))
        preset = random_preset(values.model, values.seed, lengths, rows)
        settings = [*preset, "--nogenerate", *settings]
        return export_measured(settings, out, lambda line: bar.advance(1, line), values.task)
