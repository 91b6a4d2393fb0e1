"""The order of the data: which examples a step sees, and the seed of its noise.

Both follow from the run's seed by integer hashes alone, so that any implementation of the runtime
continues a run with the same steps. tflite_models/FORMAT.md specifies them.
"""

from functools import lru_cache

import numpy as np

from ..noise import mix

EPOCH_SALT = np.uint32(0x27D4EB2F)
STEP_SALT = np.uint32(0x165667B1)
DIRECTION_SALT = np.uint32(0x94D049BB)
EPOCHS_KEPT = 2  # a step may see the end of one and the beginning of the next


def step_seed(seed: int, step: int) -> int:
    """Returns the noise seed of a step, an int32; no two steps of a run share one.

    Args:
      seed: the run's seed.
      step: 1 for the first step.
    """
    return int(mix(_key(seed, STEP_SALT) ^ mix(_word(step))).view(np.int32)[0])


def direction_seeds(seed: int, count: int) -> list[int]:
    """Returns the noise seeds of a step's directions, int32, no two the same.

    Args:
      seed: the step's.
      count: of directions, their numbers count from 1.
    """
    numbers = mix(np.arange(1, count + 1, dtype=np.uint32) ^ DIRECTION_SALT)
    return mix(_word(seed) ^ numbers).view(np.int32).tolist()


def step_members(count: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Chooses the examples of a step: epochs of random orders, drawn from the seed alone.

    Args:
      count: number of examples.
      batch_size: examples a step.
      seed: the run's seed.
      step: 1 for the first step.

    Returns:
      `batch_size` positions; every example is seen once an epoch, whichever machine draws.
    """
    first = (step - 1) * batch_size
    places = range(first, first + batch_size)
    orders = {epoch: _order(count, seed, epoch) for epoch in {place // count for place in places}}
    return [int(orders[place // count][place % count]) for place in places]


@lru_cache(EPOCHS_KEPT)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the positions of an epoch, [count] uint32; they are sorted once an epoch."""
    key = mix(_key(seed, EPOCH_SALT) ^ mix(_word(epoch)))
    # NumPy's generators may change their streams between versions; a sort of hashes does not.
    order = np.argsort(mix(np.arange(count, dtype=np.uint32) ^ key), kind="stable")
    order = order.astype(np.uint32)
    order.flags.writeable = False  # every step of the epoch is given the same
    return order


def _key(seed: int, salt: np.uint32) -> np.ndarray:
    return mix(_word(seed) ^ salt)


def _word(value: int) -> np.ndarray:
    """Returns the low 32 bits of a number, [1] uint32."""
    return np.array([value], np.int64).astype(np.uint32)
