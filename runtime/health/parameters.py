"""The size of a bundle's typical parameter, from a sample of its model file."""

import numpy as np

from ..bundle.contents import Bundle

SAMPLE = 256  # values of each variable


def typical_size(bundle: Bundle) -> float:
    """Returns the median |θ| of the initial values that are not 0; 0 if all are."""
    sizes = []
    with open(bundle.model_path, "rb") as file:
        for variable in bundle.variables:
            file.seek(variable.offset)
            count = min(SAMPLE, int(np.prod(variable.shape)))
            sizes.append(np.abs(np.frombuffer(file.read(4 * count), np.float32)))
    values = np.concatenate(sizes) if sizes else np.zeros(0, np.float32)
    values = values[values > 0]
    return float(np.median(values)) if values.size else 0.0
