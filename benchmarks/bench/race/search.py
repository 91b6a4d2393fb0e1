"""The search of an arm's learning rate: a grid, longer until its best is no end of it."""

import math
from collections.abc import Callable, Iterable

from pocketllm.runtime.errors import RunError

from .arms import SEARCH_SEED, Arm, Trial

MOST_RATES = 7


def search_rate(arm: Arm, steps: int, run: Callable[[Trial], dict]) -> tuple[float, list[dict]]:
    """Returns the best learning rate and the results of the search's trials, ascending.

    The best is that of the lowest dev loss.

    Args:
      arm: whose `rates` the grid begins with.
      steps: length of a trial.
      run: runs a trial and returns its result.

    Raises:
      RunError: no loss stayed finite.
    """
    results = {rate: run(_trial(arm, rate, steps)) for rate in arm.rates}
    while len(results) < MOST_RATES:
        best = _best(results)
        if best not in (min(results), max(results)):
            break
        rate = neighbour(best, -1 if best == min(results) else 1)
        results[rate] = run(_trial(arm, rate, steps))
    best = _best(results)
    if lowest_loss(results[best]) == math.inf:
        raise RunError(f"{arm.shown}: no learning rate of {_listed(results)} kept the loss finite")
    return best, [results[rate] for rate in sorted(results)]


def lowest_loss(result: dict) -> float:
    """Returns the lowest dev loss of a trial, infinity where the loss did not stay finite."""
    return min((point["loss"] for point in result["curve"] or ()), default=math.inf)


def neighbour(rate: float, direction: int) -> float:
    """Returns the next rate of the grid, two a decade with one digit: 1e-3, 3e-3, 1e-2."""
    exponent = (round(2 * math.log10(rate)) + direction) / 2
    return float(f"{10**exponent:.0e}")


def _best(results):
    """Returns the rate of the lowest loss, the lowest rate among equals."""
    return min(results, key=lambda rate: (lowest_loss(results[rate]), rate))


def _trial(arm, rate, steps):
    return Trial(arm, rate, SEARCH_SEED, steps, compared=False)


def _listed(rates: Iterable[float]):
    return ", ".join(f"{rate:g}" for rate in sorted(rates))
