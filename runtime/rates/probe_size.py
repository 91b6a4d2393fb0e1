"""The size of a probe whose slopes have the smallest error: neither rounding nor curvature.

Slopes along the same directions at half the bundle's eps, at it, and at twice as much differ by
rounding, which falls with eps, and by the third derivative, which rises with its square. From one
side the curvature is an error too.
"""

from collections.abc import Sequence

import numpy as np

from ..meters.figures import Meters
from ..optim.interface import Probing
from .predicted import error_square

FACTORS = (1.0, 0.5, 2.0)  # times the bundle's eps
GOOD_ERROR = 0.1  # of a slope: such a size need not be changed
MOST = 10.0  # times the bundle's eps, or a share of it


def chosen_size(
    slopes: Sequence[np.ndarray], meters: Meters, probing: Probing, usual: float
) -> float:
    """Returns the size of the probe, to one digit.

    Args:
      slopes: of each of FACTORS, [K] along the same directions.
      meters: of the model.
      probing: how steps measure slopes.
      usual: the bundle's size.
    """
    middle, half, double = (np.asarray(values, np.float64) for values in slopes)
    scale = float((middle**2).mean())
    if not scale:
        return usual
    rounding, bending = _errors(*(_mean_square(d, scale) for d in (middle - half, double - middle)))
    curvature = error_square(meters, probing) * (usual / meters.eps) ** 2
    if probing.sides == 1:
        rounding *= 2  # a loss of its own stands on one side only
    if rounding + bending + curvature <= GOOD_ERROR**2:
        return usual
    sizes = np.geomspace(1 / MOST, MOST, 201)
    errors = rounding / sizes**2 + bending * sizes**4 + curvature * sizes**2
    return float(f"{usual * sizes[np.argmin(errors)]:.0e}")


def _errors(lower, upper):
    """Returns the squares of a slope's errors at the middle size by rounding and by bending.

    Args:
      lower: mean square of the differences to slopes at half the size.
      upper: to those at twice the size.
    """
    # Rounding r² and bending b²: lower = 5 r² + (3/4)² b², upper = (5/4) r² + 3² b².
    rounding, bending = np.linalg.solve([[5, 9 / 16], [5 / 4, 9]], [lower, upper])
    if bending < 0:
        return lower / 5, 0.0
    if rounding < 0:
        return 0.0, upper / 9
    return float(rounding), float(bending)


def _mean_square(differences, scale):
    return float((differences**2).mean()) / scale
