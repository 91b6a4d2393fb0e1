"""A measured number with an interval, and the jackknife that gives it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NORMAL = 1.96  # 95% of a normal distribution lie within so many standard errors


@dataclass(frozen=True)
class Estimate:
    """A number and an interval that holds the true one in about 95% of cases.

    Attributes:
      value: the estimate.
      low, high: the interval; infinite where nothing bounds it.
    """

    value: float
    low: float
    high: float

    def summary(self) -> dict:
        """Returns plain values for JSON, None for what is not finite."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: x if math.isfinite(x) else None for name, x in numbers.items()}

    def through(self, function: Callable[[float], float]) -> "Estimate":
        """Returns what a function that rises or falls makes of it."""
        low, high = sorted((function(self.low), function(self.high)))
        return Estimate(function(self.value), low, high)


def jackknife(
    statistics: Callable[[np.ndarray, np.ndarray], np.ndarray], probes: int, rows: int
) -> list[Estimate]:
    """Estimates statistics of a sample of probes and a sample of rows, with symmetric intervals.

    The variance is the sum of two: leaving out each probe, and leaving out each row.

    Args:
      statistics: (numbers of probes, numbers of rows) -> [N] float64.
      probes: their number, 2 at least.
      rows: their number, 2 at least.
    """
    all_probes, all_rows = np.arange(probes), np.arange(rows)
    values = statistics(all_probes, all_rows)
    without_probe = [statistics(np.delete(all_probes, k), all_rows) for k in all_probes]
    without_row = [statistics(all_probes, np.delete(all_rows, i)) for i in all_rows]
    variances = _variance(without_probe) + _variance(without_row)
    reach = _quantile(min(probes, rows) - 1) * np.sqrt(variances)
    with np.errstate(invalid="ignore"):  # what is infinite itself has no bounds
        low, high = values - reach, values + reach
    bounds = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    return [Estimate(*map(float, figures)) for figures in zip(values, *bounds)]


def _variance(values):
    """Returns the jackknife's variance of statistics, of one value each for what is left out."""
    stacked = np.stack(values)
    count = len(stacked)
    with np.errstate(invalid="ignore"):  # infinite ones have a variance that is unknown
        spread = ((stacked - stacked.mean(axis=0)) ** 2).sum(axis=0) * (count - 1) / count
    return np.where(np.isfinite(spread), spread, np.inf)


def _quantile(freedom):
    """Returns Student's t that holds 95%, by Cornish and Fisher's expansion."""
    z = NORMAL
    first = (z**3 + z) / (4 * freedom)
    return z + first + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
