"""Sampling: which token follows, by its logits.

Penalty, temperature, top_k and top_p are transformers' logits processors, in transformers' order.
Draws are NumPy's: one 64-bit number of PCG64 a token, the same on every machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError, LossError

GREATEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
      temperature: the logits are divided by it; 0 takes the most likely token.
      top_k: only so many of the most likely tokens are drawn from; 0 for all.
      top_p: only the most likely tokens that together have this probability; 1 for all.
      repetition_penalty: divides the positive logits of tokens that the text has, multiplies the
        negative ones (arXiv 1909.05858, section 4.1); 1 for none.
      seed: of the draws.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    @property
    def is_greedy(self) -> bool:
        """Whether the most likely token is taken, and nothing drawn."""
        return self.temperature == 0


GREEDY = Sampling()


def check_sampling(sampling: Sampling) -> None:
    """Raises InputError, which names the flag, for a number out of its range."""
    checks = (
        ("temperature", 0 <= sampling.temperature < math.inf, "0 or more"),
        ("top_k", sampling.top_k >= 0, "0 or more"),
        ("top_p", 0 < sampling.top_p <= 1, "a number above 0, at most 1"),
        ("repetition_penalty", 0 < sampling.repetition_penalty < math.inf, "a number above 0"),
        ("seed", 0 <= sampling.seed <= GREATEST_SEED, f"0 to {GREATEST_SEED}"),
    )
    for name, sound, expected in checks:
        if not sound:
            raise InputError(f"--{name}={getattr(sampling, name)}: expected {expected}")


class Sampler:
    """Chooses the tokens of one text."""

    def __init__(self, sampling: Sampling, known: np.ndarray, text: int = 0):
        """Starts the draws.

        Args:
          sampling: how to choose.
          known: [V] bool, the ids that the tokenizer has; no other is ever chosen.
          text: number of the text, which has draws of its own.
        """
        self._sampling, self._known = sampling, known
        self._draws = np.random.Generator(np.random.PCG64([sampling.seed, text]))

    def choose(self, logits: np.ndarray, ids: Sequence[int]) -> int:
        """Returns the id of the next token.

        Args:
          logits: [V] float32, of the token behind the text.
          ids: the text so far, prompt included.

        Raises:
          LossError: a logit is not finite.
        """
        if not np.isfinite(logits[self._known]).all():
            raise LossError("the logits of the next token are not finite")
        scores = np.where(self._known, logits, np.float32(-np.inf))
        scores = penalised(scores, ids, self._sampling.repetition_penalty)
        if self._sampling.is_greedy:
            return int(np.argmax(scores))
        scores = cooled(scores, self._sampling.temperature)
        scores = among_best(scores, self._sampling.top_k)
        scores = among_likely(scores, self._sampling.top_p)
        return drawn(scores, self._draws.random())


def penalised(scores: np.ndarray, ids: Sequence[int], penalty: float) -> np.ndarray:
    """Returns the scores [V] with those of the ids made smaller, for a penalty above 1."""
    if penalty == 1:
        return scores
    scores, seen = scores.astype(np.float64), np.unique(np.asarray(ids, np.int64))
    scores[seen] = np.where(scores[seen] < 0, scores[seen] * penalty, scores[seen] / penalty)
    return scores


def cooled(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Returns (scores [V] less the highest) / temperature, float64: finite at any temperature."""
    with np.errstate(over="ignore"):  # far less likely than any float64 can say
        return (scores.astype(np.float64) - scores.max()) / temperature


def among_best(scores: np.ndarray, count: int) -> np.ndarray:
    """Returns the scores [V] with -inf for those below the `count` highest."""
    if not 0 < count < len(scores):
        return scores
    least = np.partition(scores, -count)[-count]
    return np.where(scores < least, -np.inf, scores)


def among_likely(scores: np.ndarray, share: float) -> np.ndarray:
    """Returns the scores [V] with -inf for the least likely, which have 1 - share together."""
    if share >= 1:
        return scores
    left = np.flatnonzero(scores > -np.inf)
    ascending = left[np.argsort(scores[left], kind="stable")]
    weights = np.exp(scores[ascending].astype(np.float64) - scores[ascending[-1]])
    together = np.cumsum(weights / weights.sum())
    dropped = ascending[:-1][together[:-1] <= 1 - share]  # the most likely one always stays
    scores = scores.copy()
    scores[dropped] = -np.inf
    return scores


def drawn(scores: np.ndarray, number: float) -> int:
    """Returns the index whose part of the softmax of scores [V] holds a number from 0 to 1."""
    left = np.flatnonzero(scores > -np.inf)
    weights = np.exp(scores[left].astype(np.float64) - scores[left].max())
    bounds = np.cumsum(weights)
    place = np.searchsorted(bounds, number * bounds[-1], side="right")
    return int(left[min(place, len(left) - 1)])
