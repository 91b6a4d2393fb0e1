"""Symmetric quantisation of rows: of a matrix [out, in], or of a table.

Rows are rounded block by block, in the cache: a table of 262,144 rows has a gigabyte in float32,
and every intermediate of its size would be another.
"""

from collections.abc import Callable

import numpy as np

INT8_MOST, INT4_MOST = 127, 7
# int4_rows tries these shares of the widest step, on a sample of the columns.
SHARES = np.linspace(0.5, 1, 6, dtype=np.float32)
SAMPLED_COLUMNS = 256
BLOCK_VALUES = 1 << 18


def int8_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds each row to 255 steps, their size set by its largest value.

    Args:
      values: [rows, columns] float32.

    Returns:
      (int8 [rows, columns], the steps [rows] float32): their product is near the values.
    """
    return _by_blocks(values, _int8_block)


def _int8_block(values):
    steps = np.abs(values).max(1) / np.float32(INT8_MOST)
    steps[steps == 0] = 1  # a row of zeros
    scaled = values / steps[:, None]
    return np.rint(scaled, out=scaled), steps


def int4_rows(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rounds each row to 16 steps of the size with the smallest squared error.

    Cutting off the largest values makes the steps finer: for Gaussian rows of 1,024 values the
    error is 0.11 of their size instead of 0.14.

    Args:
      values: [rows, columns] float32.

    Returns:
      (int8 [rows, columns] from -8 to 7, the steps [rows] float32).
    """
    return _by_blocks(values, _int4_block)


def _int4_block(values):
    widest = np.abs(values).max(1) / np.float32(INT4_MOST)
    widest[widest == 0] = 1  # a row of zeros
    sample = values[:, :: max(1, values.shape[1] // SAMPLED_COLUMNS)]
    errors = [
        np.square(_rounded(sample, share * widest) * (share * widest)[:, None] - sample).sum(1)
        for share in SHARES
    ]
    steps = SHARES[np.argmin(errors, 0)] * widest
    return _rounded(values, steps), steps


def packed_nibbles(values: np.ndarray) -> np.ndarray:
    """Packs int8 values from -8 to 7, an even number of them, two a byte, the first in the low."""
    nibbles = values.reshape(-1).view(np.uint8) & 15
    return nibbles[0::2] | nibbles[1::2] << 4


def _by_blocks(values: np.ndarray, rounded: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Rounds some rows at a time; `rounded` returns (whole numbers as floats, steps) of a block."""
    rows, columns = values.shape
    integers, steps = np.empty((rows, columns), np.int8), np.empty(rows, np.float32)
    block_rows = max(1, BLOCK_VALUES // columns)
    for first in range(0, rows, block_rows):
        block = slice(first, first + block_rows)
        integers[block], steps[block] = rounded(values[block])
    return integers, steps


def _rounded(values, steps):
    scaled = values / steps[:, None]
    return np.clip(np.rint(scaled, out=scaled), -INT4_MOST - 1, INT4_MOST, out=scaled)
