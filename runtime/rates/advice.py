"""Settings that waste most of a run's forward passes, and what would not."""

import math

from ..meters.figures import Meters
from ..optim.interface import Probing
from .predicted import error_square

SAFE_ERROR = 0.2  # of a slope from one side, over the slope
TIMES = 3.0  # the noise scale: half of a larger minibatch's rows say what the others have said


def advice_of(
    meters: Meters, probing: Probing, batch_size: int, batch_rows: int
) -> tuple[str, ...]:
    """Returns sentences, none where nothing is known to waste more than half of the work.

    Args:
      meters: of the run's first parameters.
      probing: how its steps measure slopes.
      batch_size: examples a step.
      batch_rows: of a forward signature: fewer cost as much.
    """
    sentences = []
    scale = meters.noise_scale
    enough = max(batch_rows, math.ceil(scale.high)) if math.isfinite(scale.high) else batch_size
    if batch_size > TIMES * enough:
        sentences.append(
            f"--batch_size={batch_size} is far more than the noise scale of {scale.value:.2g} rows "
            f"(at most {scale.high:.2g}): rows say the same, and --batch_size={enough} takes "
            "nearly the same steps for fewer forward passes"
        )
    if error_square(meters, probing) > 1:
        error = meters.one_sided_error.value
        smaller = SAFE_ERROR * meters.eps / error
        sentences.append(
            f"--eps={meters.eps:g} from one side: the curvature is {error:.2g} times the slope, so "
            f"most of a step is noise; give --sides=2, or --eps={smaller:.0e}"
        )
    return tuple(sentences)
