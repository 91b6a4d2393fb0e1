"""Symmetric quantisation of the rows of a matrix: of the outputs of a layer, or of a table."""

import numpy as np

INT8_MOST = 127


def int8_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds each row to 255 steps of its own size.

    Args:
      values: [rows, columns] float32.

    Returns:
      (int8 [rows, columns], the steps [rows] float32): values are near one times the other.
    """
    steps = np.abs(values).max(1) / np.float32(INT8_MOST)
    steps[steps == 0] = 1  # a row of zeros
    scaled = values / steps[:, None]
    return np.rint(scaled, out=scaled).astype(np.int8), steps
