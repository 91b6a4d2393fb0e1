"""The prompt of every side: random ids."""

import numpy as np


def prompt_ids(vocabulary: int, tokens: int, seed: int) -> list[int]:
    """Returns `tokens` ids of a vocabulary, the same for the same seed."""
    return np.random.default_rng(seed).integers(0, vocabulary, tokens).tolist()
