"""Measures one batch size on all sides, one after the other, on the same weights and inputs."""

from collections.abc import Callable
from dataclasses import asdict, replace

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import RunError

from ..isolation.worker import run_worker
from .baselines import NAMES, baselines_of, measured_baselines
from .conditions import forget_packed, measure_limited
from .flops import forward_flops
from .summary import ratios, relative_difference, summarise, times
from .workers import LITERT, PYTORCH
from .workload import Workload

# Relative. A larger difference is no rounding: the two sides compute different things.
LOSS_TOLERANCE = 1e-4


def measure_batch(
    work: Workload,
    bundle: Bundle,
    against: bool,
    sgemm_gflops: float,
    limit_bytes: int | None = None,
) -> dict:
    """Measures our side and, with `against`, its baselines in PyTorch; beside Adam MeZO too.

    Args:
      work: the request to all workers. With `work.packed`, one more process first writes the
        bundle's file of packed weights anew.
      bundle: the bundle of `work`.
      against: whether to measure the baselines.
      sgemm_gflops: the machine's rate of matrix products.
      limit_bytes: measure our side also under this memory limit; None: do not.

    Returns:
      {"batch_size", "forward_flops", "ours", "packing", "unpacked", "limited", "limited_apart",
      "mezo", "times_mezo", "apart", "times_apart"} and, for every suffix of baselines.NAMES,
      {"pytorch", "ratio", "first_loss_difference"}. A side is its worker's result with a
      "summary": "packing" wrote the packed weights, "ours" found them, "unpacked" ran without,
      "limited" is from conditions.measure_limited, "mezo" is MeZO of the same bundle beside Adam,
      "apart" and "limited_apart" are steps with two forward passes beside those with pairs, and
      "times_mezo" and "times_apart" what ours is of their figures. None: not measured.
    """
    flops = work.batch_size * forward_flops(bundle, work.seq_len)

    def measure(name, module, work):
        name = f"batch {work.batch_size}: {name}"
        side = run_worker(name, module, asdict(work), work.threads, stages=2 + len(work.schedule))
        return summarised(side)

    def summarised(side):
        return side | {"summary": summarise(side, flops, side["parameters"], sgemm_gflops)}

    batch: dict = {"batch_size": work.batch_size, "forward_flops": flops}
    batch |= dict.fromkeys(("packing", "unpacked", "limited", "limited_apart"))
    batch |= dict.fromkeys(("mezo", "times_mezo", "apart", "times_apart"))
    apart = replace(work, pairs=False)
    if work.packed:
        forget_packed(bundle)
        batch["packing"] = measure("ours, packing", LITERT, work)
    batch["ours"] = measure("ours", LITERT, work)
    if work.packed:
        batch["unpacked"] = measure("ours, not packed", LITERT, replace(work, packed=False))
    if limit_bytes:
        batch["limited"] = measure_limited(work, bundle, limit_bytes, summarised)
    if limit_bytes and work.pairs:
        batch["limited_apart"] = measure_limited(apart, bundle, limit_bytes, summarised)
    if work.pairs:
        batch["apart"] = measure("ours, two forwards", LITERT, apart)
        batch["times_apart"] = times(batch["ours"]["summary"], batch["apart"]["summary"])
    if work.optimizer != contract.MEZO:
        batch["mezo"] = measure("ours, MeZO", LITERT, replace(work, optimizer=contract.MEZO))
        batch["times_mezo"] = times(batch["ours"]["summary"], batch["mezo"]["summary"])
    sides = baselines_of(bundle, work.optimizer) if against else {}
    return batch | _compared(work, batch["ours"], sides, measure)


def _compared(work: Workload, ours: dict, sides: dict, measure: Callable) -> dict:
    """Measures the baselines and compares ours with each; see `measure_batch`."""
    compared = {}
    for suffix, (name, _) in NAMES.items():
        baseline, ratio, difference = None, None, None
        if suffix in sides:
            baseline = measure(name, PYTORCH, replace(work, **sides[suffix]))
            ratio = ratios(ours["summary"], baseline["summary"])
            difference = relative_difference(ours["first_loss"], baseline["first_loss"])
        compared[f"pytorch{suffix}"] = baseline
        compared[f"ratio{suffix}"] = ratio
        compared[f"first_loss_difference{suffix}"] = difference
    return compared


def check_losses(batch: dict, base: str = contract.FP32) -> None:
    """Raises RunError if the sides' losses before the first step differ.

    A quantised base changes the loss, by a large share if it is near zero: the table shows that
    difference, and it is no error.

    Args:
      batch: result of `measure_batch`.
      base: storage of the frozen parameters, one of contract.BASES.
    """
    if base != contract.FP32:
        return
    for suffix in measured_baselines(batch):
        if batch[f"first_loss_difference{suffix}"] <= LOSS_TOLERANCE:  # False for a NaN
            continue
        raise RunError(
            f"batch {batch['batch_size']}: the loss before the first step is "
            f"{batch['ours']['first_loss']:.6f} here and "
            f"{batch[f'pytorch{suffix}']['first_loss']:.6f} in {NAMES[suffix][0]}, expected "
            f"within {LOSS_TOLERANCE:g}: they do not compute the same thing, so their times "
            "cannot be compared"
        )
