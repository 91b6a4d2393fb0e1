"""The losses of many clients become those of one step, whatever some of the clients send.

A direction's slope is what a step follows, so that is what is bounded and joined: half the
difference of its two losses, or on one side of θ what its loss differs from the mean of all. Every
rule bounds it first. Sums are `math.fsum`: they do not depend on the order of the answers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

MEAN, MEDIAN, TRIMMED, SIGN = "mean", "median", "trimmed", "sign"
RULES = (MEAN, MEDIAN, TRIMMED, SIGN)
TRIMMED_SHARE = 0.2  # of the clients, from either end, and never all
# A slope is bounded to so many times the usual one: honest ones do not get there.
CLIP = 10.0
RECENT = 20  # steps of the journal whose slopes are usual
MOST_LOSS = 1e4  # a mean cross entropy is near log(vocabulary); beyond it an answer is refused


@dataclass(frozen=True)
class Rule:
    """How answers are joined.

    Attributes:
      name: one of RULES.
      clip: how many times the usual slope a slope may be.
    """

    name: str = MEAN
    clip: float = CLIP


def problem_of(losses: Sequence[float], count: int) -> str | None:
    """Returns why the losses of an answer cannot be used, None where they can.

    Args:
      losses: of an answer.
      count: how many were asked for.
    """
    if len(losses) != count:
        return f"{len(losses)} losses, expected {count}"
    if not all(abs(loss) <= MOST_LOSS for loss in losses):  # false of what is no number, too
        return f"a loss that is not within {MOST_LOSS:g}"
    return None


def usual_slope(recorded: Sequence[Sequence[float]], sides: int) -> float:
    """Returns the median size of the slopes of a journal's last steps, 0 without any.

    Args:
      recorded: the losses of each step.
      sides: of θ on which a direction's loss is measured.
    """
    slopes = [slope for losses in recorded for slope in _slopes(np.array(losses), sides)[1]]
    return median(map(abs, slopes)) if slopes else 0.0


def aggregate(
    losses: Sequence[Sequence[float]], sides: int, rule: Rule, usual: float
) -> list[float]:
    """Returns the losses of a step from those of its clients.

    A single client's are its own, to the bit, and so are means of slopes within their bound.

    Args:
      losses: [clients][losses], without a `problem_of`.
      sides: of θ on which a direction's loss is measured, 1 or 2.
      rule: how they are joined.
      usual: size of a slope lately, from `usual_slope`.
    """
    table = np.array(losses, np.float64)  # [clients, losses]
    parts = [_slopes(row, sides) for row in table]
    centers = np.array([center for center, _ in parts])  # [clients, directions or 1]
    slopes = np.array([slope for _, slope in parts])  # [clients, directions]
    bound = rule.clip * max(float(np.median(np.abs(slopes))), usual)
    bounded = np.clip(slopes, -bound, bound)
    if len(table) == 1 or (rule.name == MEAN and np.array_equal(bounded, slopes)):
        return _mean(table)
    joined = [_join(column, rule.name) for column in bounded.T]
    # Where an update is bounded or robust, so is the loss that people see.
    middle = [median(column) for column in centers.T.tolist()]
    if sides == 1:
        return [middle[0] + slope for slope in joined]
    return [loss for c, s in zip(middle, joined) for loss in (c + s, c - s)]


def _slopes(losses, sides):
    """Returns (centers, slopes) of one client's losses of a step."""
    if sides == 1:
        center = math.fsum(losses) / len(losses)
        return np.array([center]), losses - center
    plus, minus = losses[::2], losses[1::2]
    return plus / 2 + minus / 2, plus / 2 - minus / 2


def _mean(table):
    return [math.fsum(column) / len(column) for column in table.T]


def _join(slopes, name):
    """Returns one number for the bounded slopes of a direction, [clients]."""
    if name == MEDIAN:
        return float(np.median(slopes))
    if name == SIGN:
        return float(np.sign(np.sign(slopes).sum()) * np.median(np.abs(slopes)))
    if name == TRIMMED:
        cut = min(math.ceil(TRIMMED_SHARE * len(slopes)), (len(slopes) - 1) // 2)
        slopes = np.sort(slopes)[cut : len(slopes) - cut]
    return math.fsum(slopes) / len(slopes)
