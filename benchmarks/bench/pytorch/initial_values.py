"""Reads the initial values of a bundle's parameters from its model file, one at a time."""

from collections.abc import Iterator

import numpy as np

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.bundle.manifest import read_initial


def initial_values(bundle: Bundle) -> Iterator[tuple[str, np.ndarray]]:
    """Yields (name, float32 values in the checkpoint's shape) of each parameter of a bundle."""
    for parameter in bundle.parameters:
        values = np.empty(parameter.shape, np.float32)
        for variable in parameter.variables:
            stored = read_initial(bundle, variable)
            first, end = variable.rows or (0, parameter.shape[0])
            values[first:end] = stored[0].T if parameter.transposed else stored
        yield parameter.name, values
