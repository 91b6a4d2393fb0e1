"""One batch size measured on both sides, one after the other, from the same weights and inputs."""

import math
from dataclasses import asdict

from pocketllm.runtime.bundle import Bundle
from pocketllm.runtime.errors import RunError

from .flops import forward_flops
from .summary import ratios, relative_difference, summarise
from .worker import run_worker
from .workload import Workload

# More than rounding apart, the two sides would compute different things.
LOSS_TOLERANCE = 1e-4


def count_parameters(bundle: Bundle) -> int:
    """Returns the number of values that a noise pass changes."""
    return sum(math.prod(parameter.shape) for parameter in bundle.parameters)


def measure_batch(work: Workload, bundle: Bundle, against: bool, sgemm_gflops: float) -> dict:
    """Measures ours and, with `against`, PyTorch.

    Returns:
      {"batch_size", "forward_flops", "ours", "pytorch", "ratio", "first_loss_difference"}; each
      side is its worker's result with a "summary"; the last three are None without `against`.
    """
    flops = work.batch_size * forward_flops(bundle.config, work.seq_len, len(bundle.word_ids))

    def measure(name, module):
        name = f"batch {work.batch_size}: {name}"
        stages = 2 + len(work.schedule)
        side = run_worker(name, module, asdict(work), work.threads, stages)
        return side | {"summary": summarise(side, flops, count_parameters(bundle), sgemm_gflops)}

    ours, theirs, ratio, difference = measure("ours", "ours"), None, None, None
    if against:
        theirs = measure("PyTorch", "pytorch_mezo")
        ratio = ratios(ours["summary"], theirs["summary"])
        difference = relative_difference(ours["first_loss"], theirs["first_loss"])
    return {
        "batch_size": work.batch_size,
        "forward_flops": flops,
        "ours": ours,
        "pytorch": theirs,
        "ratio": ratio,
        "first_loss_difference": difference,
    }


def check_losses(batch: dict) -> None:
    """Raises RunError if the two sides' losses before the first step are not the same."""
    difference = batch["first_loss_difference"]
    if difference is None or difference <= LOSS_TOLERANCE:
        return
    raise RunError(
        f"batch {batch['batch_size']}: the loss before the first step is "
        f"{batch['ours']['first_loss']:.6f} here and {batch['pytorch']['first_loss']:.6f} in "
        f"PyTorch, expected within {LOSS_TOLERANCE:g}: they do not compute the same thing, so "
        "their times cannot be compared"
    )
