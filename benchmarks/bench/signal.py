"""How well a quantised base keeps the projected gradients of the fp32 base: the choice of eps.

Both bases are exported with the same tuning, so that the trained parameters begin at the same
values, and probed along the same directions on the same rows. Integers make the loss a staircase:
below some eps the correlation is lost. export/tune/probe_size.py was chosen by this measurement.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import correlation, stdev

from pocketllm.export.tune.probe_size import DEFAULT_EPS
from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import cores, describe_machine
from pocketllm.runtime.host.files import sha256_of
from pocketllm.runtime.host.progress import Progress
from pocketllm.tflite_models.presets import MICRO, PRESETS

from ..isolation.worker import run_worker
from .exporting import export_measured
from .workers import GRADIENTS

EPS = (1e-4, 1e-3, 1e-2, 1e-1)
ROWS = 32
LEAST_CORRELATION = 0.95
MODEL, DATA = "roberta-micro", MICRO / "sst2_train.tsv"
QUANTISED = tuple(base for base in contract.BASES if base != contract.FP32)
TUNED = tuple(tune for tune in contract.TUNES if tune != contract.FULL)
# Flags of the other measurements.
FOREIGN = ("bundle", "full_bundle", "batch_sizes", "seq_len", "steps", "against", "memory_limit")


@dataclass(frozen=True)
class Probes:
    """What is asked of every bundle.

    Attributes:
      model: preset or checkpoint folder.
      data: file of SST-2's rows, of which the first ROWS are taken.
      directions: number of seeds, from 0 on.
      seed: of random weights, and of what the tuning adds.
      noise: kind of the directions.
      threads: of the kernels.
    """

    model: str
    data: Path
    directions: int
    seed: int
    noise: str
    threads: int


def run_signal(values) -> dict:
    """Measures the pairs of --tune and --base, all of them where these are not given."""
    for name in FOREIGN:
        if values[name].present:
            raise InputError(f"--{name} is no part of --signal; leave it out")
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
        reference = _projected(probes, tune, contract.FP32)
        for base in bases:
            found = _projected(probes, tune, base)
            signal = {"tune": tune, "base": base, "rows": found["rows"]}
            signal |= signal_of(reference["projected_grads"], found["projected_grads"])
            signal |= {"default_eps": DEFAULT_EPS[tune, base]}
            print(signal_table(signal), flush=True)
            result["signals"].append(signal)
    return result


def signal_of(reference: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> dict:
    """Compares projected gradients, a list for each of EPS, a number a direction.

    Returns:
      {"eps": [{"eps", "correlation", "fp32_stdev", "stdev"}], "least_eps": the smallest of them
      with LEAST_CORRELATION, or None}; no correlation, None, where the loss did not move at all.
    """
    rows = [
        {
            "eps": eps,
            "correlation": correlation(a, b) if len(set(a)) > 1 < len(set(b)) else None,
            "fp32_stdev": stdev(a),
            "stdev": stdev(b),
        }
        for eps, a, b in zip(EPS, reference, found)
    ]
    enough = [row["eps"] for row in rows if (row["correlation"] or 0) >= LEAST_CORRELATION]
    return {"eps": rows, "least_eps": min(enough, default=None)}


def signal_table(signal: dict) -> str:
    """Returns one pair's table; the runtime's default eps is marked."""
    heads = ("correlation", "stdev, fp32", f"stdev, {signal['base']}")
    lines = [f"{signal['tune']} on {signal['base']}, eps".ljust(28) + _cells(heads)]
    for row in signal["eps"]:
        mark = " (default)" if row["eps"] == signal["default_eps"] else ""
        held = row["correlation"]
        cells = (
            "-" if held is None else f"{held:.4f}",
            f"{row['fp32_stdev']:.3f}",
            f"{row['stdev']:.3f}",
        )
        lines.append(f"  {row['eps']:g}{mark}".ljust(28) + _cells(cells))
    return "\n".join(lines)


def _cells(texts):
    return "".join(f"{text:>14}" for text in texts)


def _projected(probes, tune, base):
    """Exports a bundle and probes it; it is gone afterwards."""
    what = f"{Path(probes.model).name}, {tune} on {base}"
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
            bar.say(f"exporting {what}")
            export_measured(settings, out, say=lambda line: bar.advance(1, line))
        request = {
            "bundle": str(out),
            "data": str(probes.data),
            "rows": ROWS,
            "directions": probes.directions,
            "eps": EPS,
            "threads": probes.threads,
        }
        return run_worker(what, GRADIENTS, request, probes.threads, stages=1 + len(EPS))


def _is_random(model):
    return model in PRESETS and PRESETS[model].checkpoint_folder is None
