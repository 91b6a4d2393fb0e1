"""The learning rate that meters predict for steps along measured slopes.

For a quadratic loss a step of n directions gains most with η = n / ((1 + Bn / B) (T + (n + 1) λ)),
T the trace of the curvature, λ that along the gradient. λ is not measured: it is at most ‖H‖, and a
share of that stands for it. A run takes a share of this η, and less where its steps would take more
off the loss than there is: their noise adds up, and the curvature grows on the way
(docs/decisions/0045-a-rate-from-forward-passes.md has the figures).
"""

import math

from ..meters.figures import Meters
from ..optim.interface import Probing

TOLD_APART = 16  # directions that tell trace and norm of the curvature apart
# λ over ‖H‖ that is reckoned with. LoRA's B is 0 at the start, so that the gradient lies in B:
# what of ‖H‖ is between A and B bends nothing along it.
ALONG, ALONG_OF_LORA = 1.0, 0.25
RATE_SHARE = 0.45  # of the rate that gains most in one step
# A run takes that up to so many steps, or until they would take TAKEN of the loss off at its first
# slope; then it falls with a power of the steps.
SHORT_STEPS, TAKEN, FALL = 100, 0.15, 0.85
NORMALISED_SHARE = 0.6  # of that, as the slopes that divide fall on the way


def predicted_rate(
    meters: Meters, probing: Probing, batch_size: int, steps: int, along: float = ALONG
) -> float:
    """Returns the learning rate for a run, to two digits; 0 where no loss changed.

    Args:
      meters: at the run's first parameters.
      probing: how its steps measure slopes.
      batch_size: examples a step.
      steps: of the run.
      along: λ over ‖H‖.
    """
    directions, square = probing.directions, meters.batch_square(batch_size)
    bound = curvature_bound(meters, (directions + 1) * along)
    if not bound or not square:
        return 0.0
    rate = RATE_SHARE * directions * meters.gradient_square / square / bound
    rate *= length_share(steps, TAKEN * meters.loss / (rate * meters.slope_square))
    if probing.is_normalised:  # by the slopes that it will measure
        rate *= NORMALISED_SHARE * math.sqrt(square * (1 + error_square(meters, probing)))
    return float(f"{rate:.1e}")


def length_share(steps: int, short: float = SHORT_STEPS, fall: float = FALL) -> float:
    """Returns the share of a short run's learning rate that a run of so many steps takes.

    Args:
      steps: of the run.
      short: steps of a run that is short, SHORT_STEPS at least.
      fall: the power with which it falls behind them.
    """
    return min(1.0, max(short, SHORT_STEPS) / steps) ** fall


def curvature_bound(meters: Meters, width: float) -> float:
    """Returns T + width ‖H‖; of few directions the most that it can be, and a little more.

    With c the root mean square of zᵀHz, c² = T² + 2 ‖H‖², that is c √(1 + width² / 2).
    """
    most = meters.curvature * math.sqrt(1 + width**2 / 2) * (1 + 1 / (2 * meters.probes))
    if meters.probes < TOLD_APART:
        return most
    apart = abs(meters.trace.value) + width * meters.curvature_norm.value
    return max(meters.curvature, min(apart, most))


def error_square(meters: Meters, probing: Probing) -> float:
    """Returns the square of a slope's error over that of the slope itself, 0 from two sides."""
    error = meters.one_sided_error.value
    return error * error if probing.sides == 1 and math.isfinite(error) else 0.0
