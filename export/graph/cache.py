"""The cache of keys and values of a sequence that is generated, token by token.

Shapes: C positions of the cache, T tokens that come in, G heads of keys and values, K width of a
head.
"""

from collections.abc import Mapping

from . import lazy_tensorflow as tf


class Cache:
    """Keys and values at every position of one sequence.

    The tokens that come in are written before anything attends, so that attention reads one tensor.
    Positions behind them may hold anything: no row sees them before they are written again.

    Attributes:
      context: C.
      updated: name of keys or values -> [1, G, C, K] with the tokens that came in.
    """

    def __init__(self, tensors: Mapping, places):
        """Describes one call.

        Args:
          tensors: name of keys or values -> [1, G, C, K], as the calls before left them.
          places: [C, T] float32, 1 where a position gets a token.
        """
        self._tensors, self._places = tensors, places
        self.context = places.shape[0]
        self._kept = 1.0 - tf.reduce_sum(places, -1, keepdims=True)  # C 1
        self.updated: dict = {}

    def with_rows(self, name: str, rows):
        """Returns keys or values [1, G, C, K] with rows [1, G, T, K] at their positions."""
        single = rows.shape[2] == 1
        added = rows * self._places if single else tf.matmul(self._places[None, None], rows)
        self.updated[name] = self._tensors[name] * self._kept + added
        return self.updated[name]
