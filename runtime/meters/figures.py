"""The meters: what the losses of some rows along some directions say of a loss's gradient, the
noise of its rows, and its curvature. Pure arithmetic in float64.

With z of mean 0 and covariance I, slopes z·g and second derivatives zᵀHz: E (z·g)² = ‖g‖²,
E zᵀHz = tr H, and for Gaussian z Var zᵀHz = 2 ‖H‖². The mean square of what R rows have has the
variance over rows / R besides, which is taken off: so rounding, another one in each row, goes too.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from .estimates import Estimate, jackknife
from .probes import Probes

LEAST_ROWS, LEAST_PROBES = 3, 3  # of which one can be left out
# What rows differ in is at most half of the square of a curvature, of few directions less.
FEW_PROBES, LEAST_SHARE = 8, 0.5


@dataclass(frozen=True)
class Meters:
    """The figures of a model at its parameters, on some rows.

    Attributes:
      probes: how many directions they are from.
      rows: along each of them.
      sets: of such rows; each is for some of the directions.
      eps: of the probes, in units of z.
      loss: of the rows, in nats.
      gradient_norm: ‖g‖ of the loss over all data, not of these rows alone.
      noise_scale: how many rows a minibatch has whose noise is as large as the gradient: the
        variance of a row's gradient over ‖g‖², Bn (arXiv 1812.06162). Infinite where no gradient
        shows.
      trace: tr H.
      progress: ‖g‖² over the root mean square of zᵀHz, in nats: a step of the best length gains a
        share of it. A block of layers of which it is larger is worth more of a run's probes.
      curvature_norm: ‖H‖, Frobenius'.
      one_sided_error: noise over signal of a slope from one side, less the mean over directions:
        eps ‖H‖ / (√2 ‖g‖).
      slope_square: mean square of these rows' slopes.
      row_variance: of a row's slope.
      curvature: root mean square of zᵀHz over the directions, for the loss over all data.
    """

    probes: int
    rows: int
    sets: int
    eps: float
    loss: float
    gradient_norm: Estimate
    noise_scale: Estimate
    trace: Estimate
    progress: Estimate
    curvature_norm: Estimate
    one_sided_error: Estimate
    slope_square: float
    row_variance: float
    curvature: float

    def summary(self) -> dict:
        """Returns the figures for JSON, estimates as {"value", "low", "high"}."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {n: v.summary() if isinstance(v, Estimate) else v for n, v in values.items()}

    def batch_square(self, rows: int) -> float:
        """Returns the mean square of the slopes of minibatches of so many rows."""
        return self.gradient_square + self.row_variance / rows

    @property
    def gradient_square(self) -> float:
        """‖g‖², as far as it can be told from noise."""
        times = max(1.0, math.sqrt(self.probes / 2))
        least = self.row_variance / (times * self.rows)
        return max(self.slope_square - self.row_variance / self.rows, least)


def meters_of(*samples: Probes) -> Meters:
    """Returns the figures of measured losses.

    Args:
      *samples: of one size of the probe, each along directions and of rows of its own, of which all
        have as many; in all LEAST_PROBES directions, and LEAST_ROWS rows each.
    """
    slopes, curvatures = (
        np.concatenate([getattr(sample, name) for sample in samples])
        for name in ("slopes", "curvatures")
    )
    weights = np.concatenate([np.tile(s.weights, (len(s.slopes), 1)) for s in samples])
    sets = np.concatenate([np.full(len(s.slopes), number) for number, s in enumerate(samples)])
    count, rows = slopes.shape

    def statistics(chosen, members):
        shares = weights[chosen][:, members]
        shares = shares / shares.mean(axis=1, keepdims=True)
        slopes_there, curvatures_there = (v[chosen][:, members] for v in (slopes, curvatures))
        return _statistics(slopes_there, curvatures_there, shares, sets[chosen])

    square, inverse, trace, progress, spread, error = jackknife(statistics, count, rows)
    means, variance = _joined(slopes, weights)
    eps = samples[0].eps
    return Meters(
        probes=count,
        rows=rows,
        sets=len(samples),
        eps=eps,
        loss=float(np.mean([(sample.center * sample.weights).mean() for sample in samples])),
        gradient_norm=square.through(_root),
        noise_scale=inverse.through(_inverse),
        trace=trace,
        progress=progress,
        curvature_norm=spread.through(_root),
        one_sided_error=error.through(lambda ratio: eps / math.sqrt(2) * _root(ratio)),
        slope_square=float((means**2).mean()),
        row_variance=variance,
        curvature=_curvature(curvatures, weights),
    )


def _statistics(slopes, curvatures, weights, sets):
    """Returns ‖g‖², 1 / Bn, tr H, progress, ‖H‖² and ‖H‖² / ‖g‖² of some probes and rows."""
    means, variance = _joined(slopes, weights)
    square = (means**2).mean() - variance / slopes.shape[1]
    spread = _spread(curvatures, weights, sets) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.float64(square) / variance
        progress = np.float64(square) / _curvature(curvatures, weights)
        error = spread / np.float64(square) if square > 0 else np.inf
    return np.array([square, inverse, (curvatures * weights).mean(), progress, spread, error])


def _spread(curvatures, weights, sets):
    """Returns the variance of zᵀHz over the directions, from those that share their rows."""
    total, freedom = 0.0, 0
    for number in np.unique(sets):
        along, shares = curvatures[sets == number], weights[sets == number]
        if len(along) < 2:
            continue
        means, variance = _joined(along - along.mean(axis=0), shares)
        total += (means**2).sum() - len(along) * variance / along.shape[1]
        freedom += len(along) - 1
    return total / freedom if freedom else math.nan


def _curvature(curvatures, weights):
    """Returns the root mean square of zᵀHz."""
    means, variance = _joined(curvatures, weights)
    square = (means**2).mean()
    least = max(LEAST_SHARE, min(1.0, FEW_PROBES / curvatures.shape[0]))
    return math.sqrt(max(square - variance / curvatures.shape[1], least * square))


def _joined(values, weights):
    """Returns what all rows have along each direction, [K], and the variance of one row's."""
    means = (values * weights).mean(axis=1)
    apart = weights * (values - means[:, None])
    return means, float((apart**2).sum(axis=1).mean() / (values.shape[1] - 1))


def _root(square):
    return math.sqrt(max(square, 0.0))


def _inverse(value):
    return 1 / value if value > 0 else math.inf
