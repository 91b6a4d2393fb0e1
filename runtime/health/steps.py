"""Warnings that a run's steps give: no gradient, no movement, a loss that went away.

Each needs what a healthy run cannot show, so that none is raised in vain:

- FIRST steps in a row must all show no gradient, or none that the losses could resolve.
- A gradient that is known must be 0 in RECENT steps in a row, at losses that are not.
- A loss must rise to ten times its start or, where that is less, by 7 nats, a thousandth of the
  probability, and stay there for RECENT steps; below LEAST_LOSS it has gone nowhere.
- An update must be below half a unit in the last place of most parameters, even where |z| is
  LARGE_Z.
"""

import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .record import RunWarning

NO_GRADIENT, STANDSTILL, DIVERGED = "no-gradient", "nothing-moves", "diverged"
FIRST = 20  # steps that decide on gradient and movement, fewer in a run that has fewer
LEAST = 3  # steps that say anything
RECENT = 5
ROUNDING_UNITS = 5  # in the last place of a loss: what a forward pass may round away
LARGE_Z = 3.0
TIMES, NATS, LEAST_LOSS = 10.0, 7.0, 5.0


@dataclass(frozen=True)
class Measured:
    """What of a step is watched.

    Attributes:
      step: its number.
      losses: in its order; a probe's are those on either side of θ.
      lr: learning rate.
      gradient_norm: of the minibatch, before clipping; None where it is not known.
    """

    step: int
    losses: tuple[float, ...]
    lr: float
    gradient_norm: float | None = None

    @property
    def loss(self) -> float:
        """The minibatch's."""
        return statistics.fmean(self.losses)

    @property
    def difference(self) -> float:
        """Of the losses of a probe."""
        return max(self.losses) - min(self.losses)


class StepWatch:
    """Takes a run's steps one after the other, from the first on, and tells what they show."""

    def __init__(
        self,
        eps: float | None,
        typical: float,
        smaller: str = "--lr",
        is_normalised: bool = False,
    ):
        """Begins a run.

        Args:
          eps: size of the probe, None for an optimizer without one.
          typical: size of a typical parameter.
          smaller: flag of which a smaller value keeps a run from diverging.
          is_normalised: whether the learning rate alone says how far a step moves a parameter.
        """
        self._smaller, self._is_normalised = smaller, is_normalised
        self._eps, self._typical = eps, typical
        self._first: list[Measured] = []
        self._without_gradient = 0  # of the last steps
        self._recent: deque[float] = deque(maxlen=RECENT)

    def take(self, step: Measured) -> Iterator[RunWarning]:
        """Yields what this step completes; a kind may come again with a later step."""
        if len(self._first) < FIRST:
            self._first.append(step)
            if len(self._first) == FIRST:
                yield from self._of_first()
        is_lost = step.gradient_norm == 0 and step.loss > 0
        self._without_gradient = self._without_gradient + 1 if is_lost else 0
        if self._without_gradient == RECENT:
            yield RunWarning(
                NO_GRADIENT,
                f"step {step.step}: the gradient is 0 in {RECENT} steps, at a loss of "
                f"{step.loss:.4g}: nothing more is learnt; start a new run with a smaller "
                f"{self._smaller}",
            )
        self._recent.append(step.loss)
        if len(self._recent) == RECENT:
            yield from self._of_recent(step.step)

    def finish(self) -> Iterator[RunWarning]:
        """Yields what the steps of a short run show at its end."""
        if LEAST <= len(self._first) < FIRST:
            yield from self._of_first()
            yield from self._of_recent(self._first[-1].step)

    def _of_first(self):
        first, eps, count = self._first, self._eps, len(self._first)
        if eps is None or any(len(step.losses) < 2 for step in first):
            return
        if not any(step.difference for step in first):
            yield RunWarning(
                NO_GRADIENT,
                f"the projected gradient is 0 in each of the first {count} steps: a probe of "
                f"--eps={eps:g} changes no loss; start a new run with a larger --eps",
            )
            return
        units = max(step.difference / unit(step.loss) for step in first)
        if units <= ROUNDING_UNITS:
            yield RunWarning(
                NO_GRADIENT,
                f"the losses of a step's probes differ by {units:.0f} units in the last place of "
                f"float32 at most in each of the first {count} steps, which is rounding; "
                f"start a new run with a larger --eps (it is {eps:g})",
            )
            return
        if self._is_normalised:
            return
        moves = [step.lr * step.difference / (2 * eps) for step in first if len(step.losses) == 2]
        if len(moves) == count and max(moves) * LARGE_Z < unit(self._typical) / 2:
            yield RunWarning(
                STANDSTILL,
                f"an update moves a parameter by {max(moves):.1e} times z at most in the first "
                f"{count} steps, and a typical one is {self._typical:.1e}, whose float32 neighbour "
                f"is {unit(self._typical):.1e} away: most keep their bits; start a new run with a "
                "larger --lr",
            )

    def _of_recent(self, number):
        start, now = self._first[0].loss, statistics.median(self._recent)
        if now > highest_loss(start):
            yield diverged(f"step {number}: the loss", start, now, self._smaller)


def highest_loss(start: float) -> float:
    """Returns the loss beyond which a run that began at `start` has diverged, in nats."""
    return max(LEAST_LOSS, min(TIMES * start, start + NATS))


def diverged(what: str, start: float, now: float, smaller: str) -> RunWarning:
    """Returns the warning for a loss that left its start; `smaller` is the flag to lower."""
    return RunWarning(
        DIVERGED,
        f"{what} went from {start:.4g} to {now:.4g}: the run has diverged; start a new one with a "
        f"smaller {smaller}",
    )


def unit(value: float) -> float:
    """Returns the distance from a number to the next float32, that of the smallest normal at 0."""
    return float(np.spacing(np.float32(max(abs(value), 1e-30))))
