"""Rotary position embeddings (arXiv 2104.09864): tables of cosines and sines, and the rotation.

The two halves of a head's width are the coordinates of its pairs, as in transformers' checkpoints.
"""

import math
from typing import NamedTuple

import numpy as np

from ..checkpoint.rope import LINEAR, LLAMA3, YARN, Rope
from . import lazy_tensorflow as tf

# YaRN's, where the config says none.
BETA_FAST, BETA_SLOW = 32, 1


class Rotation(NamedTuple):
    """Cosines and sines of rows, [T, K] or [S, 1, Q, K]; the first half of the sines is negated."""

    cos: "tf.Tensor"
    sin: "tf.Tensor"


def rotary_tables(rope: Rope, first: int, count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes cosines and sines of positions, in float32 as transformers does.

    Args:
      rope: the settings.
      first: position of the first row.
      count: T, rows.
      width: K, of a head; even.

    Returns:
      (cos [T, K], sin [T, K]) float32, the first half of the sines negated.
    """
    frequencies, scale = _frequencies(rope, width)
    positions = np.arange(first, first + count, dtype=np.float32)
    angles = positions[:, None] * frequencies[None]  # T K/2
    cos, sin = np.cos(angles) * np.float32(scale), np.sin(angles) * np.float32(scale)
    return np.concatenate([cos, cos], 1), np.concatenate([-sin, sin], 1)


def rotate(x, rotation: Rotation):
    """Rotates x [.., T, K] by its rows' positions.

    The gradient is written out: it is the same two products, and no slices to put together.
    """

    @tf.custom_gradient
    def rotated(x):
        def gradient(upstream):
            return upstream * rotation.cos + _swap(upstream * rotation.sin)

        return x * rotation.cos + _swap(x) * rotation.sin, gradient

    return rotated(x)


def _swap(x):
    """Exchanges the halves of the last axis."""
    half = x.shape[-1] // 2
    start, size = [0] * len(x.shape), [*x.shape.as_list()[:-1], half]
    first, second = tf.slice(x, start, size), tf.slice(x, [*start[:-1], half], size)
    return tf.concat([second, first], -1)


def _frequencies(rope, width):
    """Returns (radians a position of each pair [K / 2] float32, factor of cosines and sines)."""
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    # Rounded once, as PyTorch's powers are: NumPy's float32 powers differ from these in a fifth of
    # the pairs by one bit, which is an angle of 1e-4 at position 2048.
    periods = (np.float64(rope.rope_theta) ** exponents.astype(np.float64)).astype(np.float32)
    frequencies = np.float32(1) / periods
    if rope.rope_type == LINEAR:
        return frequencies / np.float32(rope.factor), 1.0
    if rope.rope_type == LLAMA3:
        return _llama3(rope, frequencies), 1.0
    if rope.rope_type == YARN:
        return _yarn(rope, periods, width), _yarn_scale(rope)
    return frequencies, 1.0


def _llama3(rope, frequencies):
    """Stretches long wavelengths by `factor`, keeps short ones, and blends between (Llama 3.1)."""
    wavelengths = 2 * math.pi / frequencies
    low, high = rope.low_freq_factor, rope.high_freq_factor
    original = rope.original_max_position_embeddings
    stretched = frequencies / np.float32(rope.factor)
    share = (np.float32(original) / wavelengths - low) / (high - low)
    blended = (1 - share) * frequencies / np.float32(rope.factor) + share * frequencies
    kept = np.where(wavelengths < original / high, frequencies, blended)
    return np.where(wavelengths > original / low, stretched, kept).astype(np.float32)


def _yarn(rope, periods, width):
    """Stretches pairs that rotate seldom by `factor`, keeps fast ones (arXiv 2309.00071, 3.2)."""
    original = rope.original_max_position_embeddings

    def pair_with(rotations):
        return (
            width * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(rope.rope_theta))
        )

    low, high = pair_with(rope.beta_fast or BETA_FAST), pair_with(rope.beta_slow or BETA_SLOW)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    high += 0.001 if low == high else 0  # no division by 0
    pairs = np.arange(width // 2, dtype=np.float32)
    stretch = np.clip((pairs - np.float32(low)) / np.float32(high - low), 0, 1)
    kept, stretched = 1 / periods, 1 / (np.float32(rope.factor) * periods)
    keep = 1 - stretch
    return (stretched * (1 - keep) + kept * keep).astype(np.float32)


def _yarn_scale(rope):
    """Returns the factor of cosines and sines; the scores have its square (arXiv 2309.00071)."""
    if rope.attention_factor is not None:
        return rope.attention_factor

    def scale(weight):
        return 1.0 if rope.factor <= 1 else 0.1 * weight * math.log(rope.factor) + 1.0

    if rope.mscale and rope.mscale_all_dim:
        return scale(rope.mscale) / scale(rope.mscale_all_dim)
    return scale(1.0)
