"""The meters: what the losses of some rows along some directions say of a loss's gradient, the
noise of its rows, and its curvature. Pure arithmetic in float64.

With z of mean 0 and covariance I, slopes z·g and second derivatives zᵀHz: E (z·g)² = ‖g‖²,
E zᵀHz = tr H, and for Gaussian z Var zᵀHz = 2 ‖H‖². The mean square of slopes of R rows has the
variance over rows / R besides, which is taken off.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from .estimates import Estimate, jackknife
from .probes import Probes

LEAST_ROWS, LEAST_PROBES = 3, 3  # of which one can be left out
# Of so few rows a gradient that is small beside their noise cannot be told from none: the noise
# scale is taken to be at most this many times their number.
RESOLVED = 4.0


@dataclass(frozen=True)
class Meters:
    """The figures of a model at its parameters, on some rows.

    Attributes:
      probes, rows: how many directions and rows they are from.
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
      curvature: root mean square of zᵀHz over the directions.
    """

    probes: int
    rows: int
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
        least = self.row_variance / (RESOLVED * self.rows)
        return max(self.slope_square - self.row_variance / self.rows, least)


def meters_of(probes: Probes) -> Meters:
    """Returns the figures of measured losses.

    Args:
      probes: of LEAST_PROBES directions and LEAST_ROWS rows or more.
    """
    slopes, curvatures, weights = probes.slopes, probes.curvatures, probes.weights
    count, rows = slopes.shape

    def statistics(chosen, members):
        shares = weights[members] / weights[members].mean()
        return _statistics(slopes[chosen][:, members], curvatures[chosen][:, members], shares)

    square, inverse, trace, progress, log_spread, log_error = jackknife(statistics, count, rows)
    means, variance = _slopes(slopes, weights)
    along = (curvatures * weights).mean(axis=1)
    return Meters(
        probes=count,
        rows=rows,
        eps=probes.eps,
        loss=float((probes.center * weights).mean()),
        gradient_norm=square.through(_root),
        noise_scale=inverse.through(_inverse),
        trace=trace,
        progress=progress,
        curvature_norm=log_spread.through(lambda log: _power(log / 2)),
        one_sided_error=log_error.through(lambda log: probes.eps / math.sqrt(2) * _power(log / 2)),
        slope_square=float((means**2).mean()),
        row_variance=variance,
        curvature=float(np.sqrt((along**2).mean())),
    )


def _statistics(slopes, curvatures, weights):
    """Returns ‖g‖², 1 / Bn, tr H, progress, log ‖H‖², log (‖H‖² / ‖g‖²) of probes and rows."""
    means, variance = _slopes(slopes, weights)
    square = (means**2).mean() - variance / slopes.shape[1]
    along = (curvatures * weights).mean(axis=1)
    spread = along.var(ddof=1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        log_spread = np.log(spread)
        log_error = log_spread - np.log(max(square, 0.0))
        inverse = square / variance if variance else np.inf
        progress = np.float64(square) / np.sqrt((along**2).mean())
    return np.array([square, inverse, along.mean(), progress, log_spread, log_error])


def _slopes(slopes, weights):
    """Returns the slope of all rows along each direction, [K], and the variance of a row's."""
    means = (slopes * weights).mean(axis=1)
    apart = weights * (slopes - means[:, None])
    return means, float((apart**2).sum(axis=1).mean() / (slopes.shape[1] - 1))


def _root(square):
    return math.sqrt(max(square, 0.0))


def _inverse(value):
    return 1 / value if value > 0 else math.inf


def _power(log):
    """Returns e to a power that may be infinite, or not known."""
    if math.isnan(log):
        return math.inf
    return math.exp(min(log, 700.0)) if log < math.inf else math.inf
