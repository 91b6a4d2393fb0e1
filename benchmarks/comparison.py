"""One batch size measured on all sides, one after the other, from the same weights and inputs."""

import math
from dataclasses import asdict, replace

from pocketllm.runtime.bundle import Bundle
from pocketllm.runtime.errors import RunError

from .flops import forward_flops
from .sides import FULL_HEAD, NAMES, measured
from .summary import ratios, relative_difference, summarise
from .worker import run_worker
from .workload import Workload

# More than rounding apart, the two sides would compute different things.
LOSS_TOLERANCE = 1e-4


def count_parameters(bundle: Bundle) -> int:
    """Returns the number of values that a noise pass changes."""
    return sum(math.prod(parameter.shape) for parameter in bundle.parameters)


def measure_batch(work: Workload, bundle: Bundle, against: bool, sgemm_gflops: float) -> dict:
    """Measures ours and, with `against`, PyTorch: for OPT twice.

    Returns:
      {"batch_size", "forward_flops", "ours", "pytorch", "ratio", "first_loss_difference",
      "pytorch_row", "ratio_row", "first_loss_difference_row"}; each side is its worker's result
      with a "summary"; the last six are None where they were not measured.
    """
    flops = work.batch_size * forward_flops(bundle.config, work.seq_len, len(bundle.word_ids))

    def measure(name, module, work):
        name = f"batch {work.batch_size}: {name}"
        stages = 2 + len(work.schedule)
        side = run_worker(name, module, asdict(work), work.threads, stages)
        return side | {"summary": summarise(side, flops, count_parameters(bundle), sgemm_gflops)}

    ours = measure("ours", "ours", work)
    batch = {"batch_size": work.batch_size, "forward_flops": flops, "ours": ours}
    full_head = FULL_HEAD[bundle.family] if against else {}
    for suffix, (name, _) in NAMES.items():
        theirs, ratio, difference = None, None, None
        if suffix in full_head:
            theirs = measure(name, "pytorch_mezo", replace(work, full_head=full_head[suffix]))
            ratio = ratios(ours["summary"], theirs["summary"])
            difference = relative_difference(ours["first_loss"], theirs["first_loss"])
        batch[f"pytorch{suffix}"] = theirs
        batch[f"ratio{suffix}"] = ratio
        batch[f"first_loss_difference{suffix}"] = difference
    return batch


def check_losses(batch: dict) -> None:
    """Raises RunError if the sides' losses before the first step are not the same."""
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
