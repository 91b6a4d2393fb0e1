"""The direction z(seed) in NumPy: the reference of what the graph computes, bit for bit.

Every variable of a bundle has a stream number. A 32-bit hash of (seed, stream) gives a key, the key
XORed with a hashed counter and hashed again gives a word per block of values, and

- `codebook`: the top bits of the word choose a row of a table of whitened Gaussian vectors,
- `rademacher`: its top 16 bits choose a row of the table of all 16-sign patterns,
- `gaussian`: two such words become two normal values by Box-Muller.

Seed and counter pass through separate rounds: were the seed added to the counter, one seed's
stream would be a shift of another's. Only integer operations and IEEE multiplications are used for
the table kinds, so z is the same on x86, ARM and here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# Multipliers of the 32-bit mixer (a published low-bias pair), and constants that keep zero moving.
MULTIPLIER_1 = np.uint32(0x21F0AAAD)
MULTIPLIER_2 = np.uint32(0xD35A2D97)
COUNTER_SALT = np.uint32(0x9E3779B9)
SEED_SALT = np.uint32(0x7F4A7C15)
STREAM_SALT = np.uint32(0x85EBCA6B)
SECOND_WORD_SALT = np.uint32(0xC2B2AE35)


@dataclass(frozen=True)
class Noise:
    """A noise kind with its constants.

    Attributes:
      kind: "codebook", "rademacher" or "gaussian".
      table: [rows, columns] float32 for the table kinds, rows a power of two; None for gaussian.
    """

    kind: str
    table: np.ndarray | None = None


def mix(x: np.ndarray) -> np.ndarray:
    """Hashes uint32 values, one to one."""
    x = np.asarray(x, np.uint32)
    x = (x ^ (x >> np.uint32(16))) * MULTIPLIER_1
    x = (x ^ (x >> np.uint32(15))) * MULTIPLIER_2
    return x ^ (x >> np.uint32(15))


def counters(stop: int, start: int = 0) -> np.ndarray:
    """Returns the hashed counters start … stop - 1, uint32; from 0, a constant of the graph."""
    return mix(np.arange(start, stop, dtype=np.uint32) ^ COUNTER_SALT)


def stream_salts(streams: ArrayLike) -> np.ndarray:
    """Returns one uint32 a stream number; a constant of the graph."""
    return mix(np.asarray(streams, np.uint32) ^ STREAM_SALT)


def seed_words(seeds: ArrayLike) -> np.ndarray:
    """Hashes seeds, int32 as given to `perturb_and_update`, to one uint32 each."""
    return mix(np.asarray(seeds, np.int64).astype(np.uint32) ^ SEED_SALT)


def stream_keys(seed: int, streams: ArrayLike) -> np.ndarray:
    """Returns the uint32 key of every stream for an int32 `seed`."""
    return mix(seed_words([seed]) ^ stream_salts(streams))


def words(hashed: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Returns hashed uint32 words; use their top bits.

    Args:
      hashed: counters of the words.
      keys: of their streams; the two are broadcast.
    """
    x = (hashed ^ keys) * MULTIPLIER_1
    return (x ^ (x >> np.uint32(15))) * MULTIPLIER_2


def table_rows(noise: Noise, hashed: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Returns which row of a table kind's table each block of z is; shapes as for `words`."""
    assert noise.table is not None, noise.kind
    shift = 32 - (noise.table.shape[0].bit_length() - 1)
    return words(hashed, keys) >> np.uint32(shift)


def direction(noise: Noise, seed: int, stream: int, size: int) -> np.ndarray:
    """Returns z of one variable.

    Args:
      noise: the kind and its table.
      seed: int32, as given to `perturb_and_update`.
      stream: the variable's stream number.
      size: number of values.

    Returns:
      [size] float32, the variable's values in row-major order.
    """
    key = stream_keys(seed, np.array([stream]))
    if noise.kind == "gaussian":
        return _box_muller(key, size)
    assert noise.table is not None, noise.kind
    blocks = -(-size // noise.table.shape[1])
    return noise.table[table_rows(noise, counters(blocks), key)].reshape(-1)[:size]


def perturb(
    theta: np.ndarray, z: np.ndarray, scale: float, decay: float = 0.0, probe: float = 0.0
) -> np.ndarray:
    """Returns theta + (scale * z - decay * (theta + probe * z)) with the roundings of the graph.

    All float32: (scale - decay * probe) * z first, minus decay * theta, then the sum.
    """
    moved = (z * scale_of_decaying(scale, decay, probe)).reshape(theta.shape)
    return theta + (moved - theta * np.float32(decay) if decay else moved)


def scale_of_decaying(scale: float, decay: float, probe: float) -> np.float32:
    """Returns what multiplies z in a pass with a decay: scale - decay * probe in float32."""
    return np.float32(scale) - np.float32(decay) * np.float32(probe)


def _box_muller(key: np.ndarray, size: int) -> np.ndarray:
    hashed = counters(-(-size // 2))
    # 23 bits and a half: never 0, never 1, exact in float32.
    steps = (words(hashed, key) >> np.uint32(9)).astype(np.float32)
    uniform = (steps + np.float32(0.5)) * np.float32(2.0**-23)
    turns = (words(hashed, mix(key ^ SECOND_WORD_SALT)) >> np.uint32(8)).astype(np.float32)
    angle = (turns * np.float32(2 * np.pi * 2.0**-24)).astype(np.float64)
    radius = np.sqrt(-2 * np.log(uniform.astype(np.float64)))
    z = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return z[:size].astype(np.float32)
