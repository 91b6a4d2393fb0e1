"""Correlates the projected gradients of a quantised base with those of the fp32 base.

Both bases are exported with the same tuning, so that the trained parameters have the same initial
values, and are probed along the same directions on the same rows. Integers make the loss a
staircase: below some eps the correlation is lost. DEFAULT_EPS was chosen by this measurement.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import correlation, stdev

from absl import flags

from pocketllm.export.tune.probe_size import DEFAULT_EPS
from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import cores, describe_machine
from pocketllm.runtime.host.files import sha256_of
from pocketllm.runtime.host.progress import Progress
from pocketllm.tflite_models.presets import MICRO, PRESETS

from ..isolation.worker import run_worker
from .exporting import export_measured
from .workers import GRADIENTS

EPS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
ROWS = 32
LEAST_CORRELATION = 0.95
MODEL, DATA = "roberta-micro", MICRO / "sst2_train.tsv"
QUANTISED = tuple(base for base in contract.BASES if base != contract.FP32)
TUNED = tuple(tune for tune in contract.TUNES if tune != contract.FULL)

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.integer("directions", 50, "number of directions (--signal)", 3)
define.string("data", None, "SST-2's rows for --signal; none: roberta-micro's")


@dataclass(frozen=True)
class Probes:
    """The settings that all bundles of a measurement share.

    Attributes:
      model: preset or checkpoint folder.
      data: file of SST-2's rows; the first ROWS are used.
      directions: number of directions, whose seeds count from 0.
      seed: random seed of random weights, and of parameters that the tuning adds.
      noise: kind of noise, one of contract.NOISE_KINDS.
      threads: kernel threads.
    """

    model: str
    data: Path
    directions: int
    seed: int
    noise: str
    threads: int


def run_signal(values) -> dict:
    """Measures the pairs of --tune and --base, prints a table of each, returns the result.

    Without --tune all of TUNED are measured, without --base all of QUANTISED.
    """
    if values.engine != "litert":
        raise InputError(f"--engine={values.engine}: only litert runs a quantised base")
    if values.data and not Path(values.data).is_file():
        raise InputError(f"--data={values.data}: no such file")
    tunes = [values.tune] if values["tune"].present else TUNED
    bases = [values.base] if values["base"].present else QUANTISED
    if not set(tunes) <= set(TUNED) or not set(bases) <= set(QUANTISED):
        raise InputError(
            "--signal compares a quantised base with fp32; expected --tune=lora, prefix or head "
            "and --base=int8 or int4"
        )
    probes = Probes(
        values.model or MODEL,
        Path(values.data) if values.data else DATA,
        values.directions,
        values.seed,
        values.noise or contract.NOISE_KINDS[0],
        values.threads or cores(),
    )
    result = {
        "model": Path(probes.model).name,
        "random_weights": _is_random(probes.model),
        "data": str(probes.data),
        "data_sha256": sha256_of(probes.data),
        "directions": probes.directions,
        "noise": probes.noise,
        "seed": probes.seed,
        "least_correlation": LEAST_CORRELATION,
        "machine": describe_machine(),
        "signals": [],
    }
    for tune in tunes:
        reference = _probed(probes, tune, contract.FP32)
        for base in bases:
            quantised = _probed(probes, tune, base)
            signal = {"tune": tune, "base": base, "rows": quantised["rows"]}
            signal |= signal_of(reference["projected_grads"], quantised["projected_grads"])
            signal |= {"default_eps": DEFAULT_EPS[tune, base]}
            print(signal_table(signal), flush=True)
            result["signals"].append(signal)
    return result


def signal_of(reference: Sequence[Sequence[float]], quantised: Sequence[Sequence[float]]) -> dict:
    """Compares projected gradients.

    Args:
      reference: those of the fp32 base: for each of EPS a list, a number a direction.
      quantised: the same of a quantised base.

    Returns:
      {"eps": [{"eps", "correlation", "fp32_stdev", "stdev"}], "least_eps": the smallest eps with
      LEAST_CORRELATION, or None}. A correlation is None if all gradients of a base are equal.
    """
    rows = [
        {
            "eps": eps,
            "correlation": correlation(a, b) if len(set(a)) > 1 < len(set(b)) else None,
            "fp32_stdev": stdev(a),
            "stdev": stdev(b),
        }
        for eps, a, b in zip(EPS, reference, quantised)
    ]
    enough = [row["eps"] for row in rows if (row["correlation"] or 0) >= LEAST_CORRELATION]
    return {"eps": rows, "least_eps": min(enough, default=None)}


def signal_table(signal: dict) -> str:
    """Returns the table of one pair of tuning and base, with the default eps marked."""
    heads = ("correlation", "stdev, fp32", f"stdev, {signal['base']}")
    lines = [f"{signal['tune']} on {signal['base']}, eps".ljust(28) + _cells(heads)]
    for row in signal["eps"]:
        mark = " (default)" if row["eps"] == signal["default_eps"] else ""
        correlated = row["correlation"]
        cells = (
            "-" if correlated is None else f"{correlated:.4f}",
            f"{row['fp32_stdev']:.3f}",
            f"{row['stdev']:.3f}",
        )
        lines.append(f"  {row['eps']:g}{mark}".ljust(28) + _cells(cells))
    return "\n".join(lines)


def _cells(texts):
    return "".join(f"{text:>14}" for text in texts)


def _probed(probes, tune, base):
    """Exports a bundle into a temporary folder; returns the result of the worker gradients."""
    name = f"{Path(probes.model).name}, {tune} on {base}"
    with tempfile.TemporaryDirectory(prefix="pocketllm-bench-") as folder:
        out = Path(folder) / "bundle"
        random_init = ["--random_init"] if _is_random(probes.model) else []
        settings = [
            f"--model={probes.model}",
            *random_init,
            f"--seed={probes.seed}",
            f"--batch_size={ROWS}",
            f"--noise={probes.noise}",
            f"--tune={tune}",
            f"--base={base}",
        ]
        with Progress("export", 6, "stage") as bar:
            bar.say(f"exporting {name}")
            export_measured(settings, out, say=lambda line: bar.advance(1, line))
        request = {
            "bundle": str(out),
            "data": str(probes.data),
            "rows": ROWS,
            "directions": probes.directions,
            "eps": EPS,
            "threads": probes.threads,
        }
        return run_worker(name, GRADIENTS, request, probes.threads, stages=1 + len(EPS))


def _is_random(model):
    return model in PRESETS and PRESETS[model].checkpoint_folder is None
