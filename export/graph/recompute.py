"""Recomputation: a backward pass runs a piece of the forward pass again and keeps its input alone.

The converter merges equal operators, so that a piece which is run again would be the first one, and
all its tensors would stay (docs/decisions/0016-recomputation-is-merged-away.md). Here the second
run reads its input behind a barrier: input + 0, and that 0 is an input of the function times a
value of the gradient that comes in. The converter cannot know the sum, and in an order of operators
the second run comes after the gradient. Binding takes the barriers out again
(flatbuffer/delegate.py): no bundle has the input.
"""

from collections.abc import Callable, Sequence

from . import lazy_tensorflow as tf

# The input, [1] float32, of functions that recompute; no name of a parameter has a colon.
BARRIER = "barrier:"


class Recomputation:
    """How the pieces of one graph are run again.

    Attributes:
      is_again: whether a piece is being run again.
    """

    def __init__(self, barrier, trained: Sequence):
        """Takes the input BARRIER, and the tensors whose gradients are wanted."""
        self._barrier, self._trained = barrier, list(trained)
        self.is_again = False

    def run(self, piece: Callable, x):
        """Returns piece(x), which may close over other tensors; its gradient runs it again."""
        return self.run_in_parts(lambda x: (piece(x), None), x, lambda *_: [piece])

    def run_in_parts(self, whole: Callable, x, parts: Callable):
        """Returns the result of a function whose gradient runs it again in parts.

        Args:
          whole: x -> (result of rank 3, what `parts` needs to know of it).
          x: the input that is kept.
          parts: (what they need to know, function that puts a tensor of rank 3 behind a barrier) ->
            functions of x, run one after the other, whose gradients add up to the whole's.
        """
        trained = self._trained

        @tf.custom_gradient
        def differentiable(x, *_):
            result, known = whole(x)

            def gradient(upstream):
                self.is_again = True
                again = self._behind_barrier(x, upstream)
                total = [None] * (1 + len(trained))
                for part in parts(known, lambda tensor: self._behind_barrier(tensor, upstream)):
                    with tf.GradientTape() as tape:
                        tape.watch([again, *trained])
                        value = part(again)
                    more = tape.gradient(value, [again, *trained], upstream)
                    total = [_sum(*both) for both in zip(total, more)]
                self.is_again = False
                return total

            return result, gradient

        return differentiable(x, *trained)

    def _behind_barrier(self, x, upstream):
        """Returns x, of rank 3 as `upstream` is, as a tensor that is known only when that is."""
        value = tf.slice(upstream, [0] * len(upstream.shape), [1] * len(upstream.shape))
        return x + value * self._barrier


def _sum(first, second):
    if first is None or second is None:
        return second if first is None else first
    return first + second
