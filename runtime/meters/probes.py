"""Losses of rows on both sides of θ along random directions: what all meters are computed from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..data.batches import Batch
from ..errors import LossError
from .rows import Forward, row_losses, row_weights


class Movable(Forward, Protocol):
    """A model whose parameters θ move along a direction z."""

    def perturb(self, seed: int, scale: float) -> None:
        """θ ← θ + scale · z(seed)."""


@dataclass(frozen=True)
class Probes:
    """Losses of R rows around θ along K directions z, each with the covariance I; float64.

    Attributes:
      eps: how far from θ, in units of z.
      center: at θ, [R].
      plus: at θ + eps · z, [K, R].
      minus: at θ − eps · z, [K, R].
      weights: of the rows in the loss of all, [R], their mean 1.
    """

    eps: float
    center: np.ndarray
    plus: np.ndarray
    minus: np.ndarray
    weights: np.ndarray

    @property
    def slopes(self) -> np.ndarray:
        """The rows' projected gradients, [K, R]."""
        return (self.plus - self.minus) / (2 * self.eps)

    @property
    def curvatures(self) -> np.ndarray:
        """The rows' second derivatives along each direction, [K, R]."""
        return (self.plus + self.minus - 2 * self.center) / self.eps**2


def probe(
    model: Movable,
    batches: Sequence[Batch],
    scoring: str,
    *,
    seeds: Sequence[int],
    eps: float,
    progress: Callable[[int], None] = lambda passes: None,
) -> Probes:
    """Measures losses along directions; 2 K + 1 forward passes of the batches.

    Args:
      model: θ comes back within rounding alone.
      batches: the rows.
      scoring: one of contract.SCORINGS.
      seeds: of the directions, int32.
      eps: how far, in units of z.
      progress: told the forward passes done, of those of all batches one after the other.

    Raises:
      LossError: a loss is not finite.
    """

    def move(direction, distance):
        model.perturb(seeds[direction], distance - place[direction])
        place[direction] = distance

    def losses():
        values = row_losses(model, batches, scoring)
        progress(len(batches))
        return values

    place = [0.0] * len(seeds)
    return probe_with(
        losses,
        move,
        count=len(seeds),
        eps=eps,
        weights=row_weights(batches, scoring),
    )


def probe_with(
    losses: Callable[[], np.ndarray],
    move: Callable[[int, float], None],
    *,
    count: int,
    eps: float,
    weights: np.ndarray,
) -> Probes:
    """Measures losses along `count` directions.

    Args:
      losses: of the rows, [R], at the present θ.
      move: (number of a direction, distance): brings θ there from its place on this direction.
      count: K.
      eps: how far, in units of z.
      weights: of the rows, [R].

    Raises:
      LossError: a loss is not finite.
    """
    center, plus, minus = _finite(losses(), eps), [], []
    for direction in range(count):
        move(direction, eps)
        plus.append(_finite(losses(), eps))
        move(direction, -eps)
        minus.append(_finite(losses(), eps))
        move(direction, 0.0)
    return Probes(eps, center, np.stack(plus), np.stack(minus), weights)


def _finite(losses, eps):
    if not np.isfinite(losses).all():
        raise LossError(
            f"a loss is not finite at a probe of {eps:g} around the parameters; give a smaller "
            "--eps and a number as --lr"
        )
    return losses
