"""Measures the wall time of the calls of a step, and makes the records of steps."""

import time
from collections.abc import Callable


def timed(function: Callable, seconds: list[float]) -> Callable:
    """Returns a function that calls `function` and appends the call's wall seconds to `seconds`."""

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
    """Returns one MeZO step of a worker's result.

    Args:
      step: the step's number.
      seconds: wall time of the step.
      noise_seconds: wall time of each noise pass.
      forward_seconds: wall time of each forward pass.
      losses: the losses at +eps and at -eps.
    """
    loss_plus, loss_minus = losses
    return {
        "step": step,
        "step_seconds": seconds,
        "noise_seconds": noise_seconds,
        "forward_seconds": forward_seconds,
        "loss_plus": loss_plus,
        "loss_minus": loss_minus,
    }


def directions_record(
    step: int,
    seconds: float,
    noise_seconds: list[float],
    forward_seconds: list[float],
    *,
    directions: int,
    losses: tuple[float, ...],
) -> dict:
    """Returns one step along several directions of a worker's result.

    Args:
      step: the step's number.
      seconds: wall time of the step.
      noise_seconds: wall time of each noise pass.
      forward_seconds: wall time of each forward pass.
      directions: number of directions of the step.
      losses: in the order of the directions.
    """
    return {
        "step": step,
        "step_seconds": seconds,
        "directions": directions,
        "noise_seconds": noise_seconds,
        "forward_seconds": forward_seconds,
        "losses": losses,
    }


def gradient_record(step: int, seconds: float, loss: float) -> dict:
    """Returns one step with gradients of a worker's result.

    Args:
      step: the step's number.
      seconds: wall time of the step.
      loss: of the minibatch, before the step.
    """
    return {"step": step, "step_seconds": seconds, "loss": loss}
