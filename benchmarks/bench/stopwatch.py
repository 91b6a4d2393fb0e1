"""Wall-clock seconds of the calls that a step consists of."""

import time
from collections.abc import Callable


def timed(function: Callable, seconds: list[float]) -> Callable:
    """Returns `function` such that every call appends its wall seconds to `seconds`."""

    def call(*arguments):
        started = time.perf_counter()
        result = function(*arguments)
        seconds.append(time.perf_counter() - started)
        return result

    return call


def step_record(
    step: int,
    seconds: float,
    noise_seconds: list[float],
    forward_seconds: list[float],
    losses: tuple[float, float],
) -> dict:
    """Returns one step as it stands in the result: times in seconds, losses at +eps and -eps."""
    loss_plus, loss_minus = losses
    return {
        "step": step,
        "step_seconds": seconds,
        "noise_seconds": noise_seconds,
        "forward_seconds": forward_seconds,
        "loss_plus": loss_plus,
        "loss_minus": loss_minus,
    }
