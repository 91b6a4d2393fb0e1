"""One batch size measured on all sides, one after the other, from the same weights and inputs."""

from collections.abc import Callable
from dataclasses import asdict, replace

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import RunError

from ..isolation.worker import run_worker
from .baselines import NAMES, measured, sides_of
from .conditions import forget_packed, measure_limited
from .flops import forward_flops
from .summary import ratios, relative_difference, summarise
from .workers import LITERT, PYTORCH
from .workload import Workload

# More than rounding apart, the two sides would compute different things.
LOSS_TOLERANCE = 1e-4


def measure_batch(
    work: Workload,
    bundle: Bundle,
    against: bool,
    sgemm_gflops: float,
    limit_bytes: int | None = None,
) -> dict:
    """Measures ours and, with `against`, PyTorch: for OPT and LoRA more than once.

    With `work.packed` the bundle's file of packed weights is made anew by a process of its own.

    Returns:
      {"batch_size", "forward_flops", "ours", "packing", "unpacked", "limited", "pytorch", "ratio",
      "first_loss_difference", …}, the last three once more for every other suffix of sides.NAMES;
      each side is its worker's result with a "summary". "packing" made the file of packed weights,
      "unpacked" does without, "limited" is what ours_again.measure_limited returns. None stands for
      what was not measured.
    """
    flops = work.batch_size * forward_flops(bundle.config, work.seq_len, len(bundle.word_ids))

    def measure(name, module, work):
        name = f"batch {work.batch_size}: {name}"
        side = run_worker(name, module, asdict(work), work.threads, stages=2 + len(work.schedule))
        return summarised(side)

    def summarised(side):
        return side | {"summary": summarise(side, flops, side["parameters"], sgemm_gflops)}

    batch = {"batch_size": work.batch_size, "forward_flops": flops}
    batch |= {"packing": None, "unpacked": None, "limited": None}
    if work.packed:
        forget_packed(bundle)
        batch["packing"] = measure("ours, packing", LITERT, work)
    batch["ours"] = measure("ours", LITERT, work)
    if work.packed:
        batch["unpacked"] = measure("ours, not packed", LITERT, replace(work, packed=False))
    if limit_bytes:
        batch["limited"] = measure_limited(work, bundle, limit_bytes, summarised)
    return batch | _compared(
        work, bundle, batch["ours"], sides_of(bundle) if against else {}, measure
    )


def _compared(work: Workload, bundle: Bundle, ours: dict, sides: dict, measure: Callable) -> dict:
    found = {}
    for suffix, (name, _) in NAMES.items():
        theirs, ratio, difference = None, None, None
        if suffix in sides:
            theirs = measure(name, PYTORCH, replace(work, **sides[suffix]))
            ratio = ratios(ours["summary"], theirs["summary"])
            difference = relative_difference(ours["first_loss"], theirs["first_loss"])
        found[f"pytorch{suffix}"] = theirs
        found[f"ratio{suffix}"] = ratio
        found[f"first_loss_difference{suffix}"] = difference
    return found


def check_losses(batch: dict, base: str = contract.FP32) -> None:
    """Raises RunError if the sides' losses before the first step are not the same.

    What a quantised base changes is shown in the table and not judged: of a loss near zero it is a
    large share.

    Args:
      batch: from `measure_batch`.
      base: how the frozen parameters are stored, one of contract.BASES.
    """
    if base != contract.FP32:
        return
    for suffix in measured(batch):
        if batch[f"first_loss_difference{suffix}"] <= LOSS_TOLERANCE:  # never so for a NaN
            continue
        raise RunError(
            f"batch {batch['batch_size']}: the loss before the first step is "
            f"{batch['ours']['first_loss']:.6f} here and "
            f"{batch[f'pytorch{suffix}']['first_loss']:.6f} in {NAMES[suffix][0]}, expected "
            f"within {LOSS_TOLERANCE:g}: they do not compute the same thing, so their times "
            "cannot be compared"
        )
