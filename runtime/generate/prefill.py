"""Prefill plan: what of a prompt is to be read, and which signature reads how many tokens."""

from collections.abc import Sequence


def prefill_plan(count: int, buckets: Sequence[int]) -> list[tuple[int, int]]:
    """Returns [(bucket, tokens)] that read `count` tokens.

    The greatest bucket as long as it is full, then the smallest that covers the rest. A single
    token is read by `decode`, a bucket of 1.

    Args:
      count: tokens to read.
      buckets: tokens of the `prefill_*` signatures, ascending.
    """
    full, rest = divmod(count, buckets[-1])
    plan = [(buckets[-1], buckets[-1])] * full
    if rest:
        plan.append((next(bucket for bucket in (1, *buckets) if bucket >= rest), rest))
    return plan


def alike(first: Sequence, second: Sequence) -> int:
    """Returns how many items two sequences begin with alike."""
    pairs = enumerate(zip(first, second))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
