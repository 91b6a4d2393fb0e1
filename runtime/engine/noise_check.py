"""Whether a model that was just opened draws the directions of the NumPy reference.

A journal names directions by seed alone, and a library can compute the noise graph wrongly and say
nothing: one compiler of accelerators did (docs/decisions/0055-a-forward-pass-without-variables.md).
"""

import math

import numpy as np

from .. import contract
from ..bundle.manifest import read_noise
from ..errors import RunError
from ..noise import direction
from .model import Model

SEED = 20260  # any
VALUES = 4096  # of a variable that are compared, from its first on
GAUSSIAN_TOLERANCE = 1e-5  # logarithm and cosine are the library's own; tables have z's bits


def check_noise(model: Model) -> None:
    """Compares z of one seed, in the variables of the smallest slice, with the reference.

    It comes before `model.initialize`: θ is that z behind it, moved from 0 by a scale of 1.

    Raises:
      RunError: z is another.
    """
    bundle, noise = model.bundle, read_noise(model.bundle)
    zeros = {v.name: np.broadcast_to(np.float32(0), v.shape) for v in bundle.variables}
    model.write(zeros)
    model.perturb(SEED, 1.0)
    readers = [contract.numbered(contract.READ, number) for number in range(bundle.slices)]
    sizes = [
        sum(math.prod(shape) for _, shape in bundle.signatures[name]["outputs"].values())
        for name in readers
    ]
    drawn = dict(model.read_slice(int(np.argmin(sizes))))
    tolerance = GAUSSIAN_TOLERANCE if noise.kind == contract.GAUSSIAN else 0.0
    for variable in bundle.variables:
        if variable.name not in drawn:
            continue
        values = drawn[variable.name].reshape(-1)
        # A longer z begins alike: of gaussians, which come in two halves, in its first half.
        expected = direction(noise, SEED, variable.stream, min(values.size, 2 * VALUES))[:VALUES]
        if not np.abs(values[:VALUES] - expected).max() <= tolerance:
            raise RunError(
                f"{bundle.model_path}: {model.engine.name} draws another direction z than the "
                f"reference, first in {variable.name}: no run of it could be replayed; take "
                "another --engine, or another version of its library"
            )
