"""WeightsView: how a model reads its weights while its graph is built.

A tuning that adds weights overrides what they change (tune/lora.py, prefix.py, word_head.py): the
models know nothing of it.
"""

from collections.abc import Mapping, Sequence
from operator import add, mul
from typing import NamedTuple

from . import lazy_tensorflow as tf
from .cache import Cache
from .layers import (
    ScaledRows,
    by_probe,
    gather,
    in_row_blocks,
    lookup,
    normalise,
    normalise_rms,
    product,
    rows_of,
    split_heads,
)
from .parameters import HeadNames
from .recompute import Recomputation

# Rows of a feed-forward that are run again together.
FEED_FORWARD_ROWS = 128


class LabelWords(NamedTuple):
    """The label words of a graph.

    Attributes:
      numbers: their token ids.
      ids: the same as a constant [C] int32.
      embedded: their word embeddings [C, E], which are a tied head's rows; otherwise None.
    """

    numbers: tuple[int, ...]
    ids: "tf.Tensor"
    embedded: "tf.Tensor | None"


class WeightsView:
    """The weights of a graph, by the names of the checkpoint.

    Where a graph evaluates P probes together, what is trained has a value for each: matrices
    [P, out, in], vectors [P, 1, D] in place of [D], and [P, rows, D]. The rows x hold one probe's
    after another's.

    Attributes:
      tensors: name -> a vector, or the chunks [1, out / chunks, in] of a matrix.
      tables: name -> [(first row, chunk [rows, D] or [1, rows, D])].
      names: of the tables at the bottom and at the top.
      tied: whether the LM head is the word embeddings.
      head: chunks [1, rows, E] of the LM head, where it is scored whole.
      rows: table -> rows [N, D] of it that come from outside the graph, for every look-up.
      cache: keys and values of a sequence's tokens so far, where one is generated.
      recomputation: how a backward pass runs pieces again, where it does.
    """

    def __init__(
        self, tensors: Mapping, tables: Mapping, names: HeadNames, tied: bool, head: Sequence = ()
    ):
        self.tensors, self.tables, self.names = tensors, tables, names
        self.tied, self.head = tied, head
        self.cache: Cache | None = None
        self.rows: dict = {}
        self.recomputation: Recomputation | None = None

    @property
    def head_is_quantised(self) -> bool:
        """Whether the LM head holds integers."""
        table = self.names.word_embeddings if self.tied else self.names.decoder
        return isinstance(self.tables[table][0][1], ScaledRows)

    def layer(self, forward, x):
        """Returns forward(x), of which a backward pass that recomputes keeps x alone."""
        return self.recomputation.run(forward, x) if self.recomputation else forward(x)

    def feed_forward(self, forward, x):
        """Returns forward(x), x [1, N, D], of rows that know nothing of one another.

        Its inner rows are the widest of a layer: a piece that is run again takes them in blocks.
        """
        again = self.recomputation is not None and self.recomputation.is_again
        return in_row_blocks(forward, x, FEED_FORWARD_ROWS) if again else forward(x)

    def two_linears(self, inner: str, activation, outer: str, x):
        """Returns the feed-forward of two linear layers, with an activation between them."""
        return self.feed_forward(
            lambda rows: self.linear(outer, activation(self.linear(inner, rows))), x
        )

    def linear(self, name: str, x):
        """Returns x @ weightᵀ + bias, where there is one; x [1, N, in] -> [1, N, out]."""
        products = [product(x, chunk) for chunk in self.tensors[f"{name}.weight"]]
        joined = products[0] if len(products) == 1 else tf.concat(products, -1)
        return self._with_bias(name, joined)

    def _with_bias(self, name, x):
        bias = f"{name}.bias"
        return by_probe(add, x, self.tensors[bias]) if bias in self.tensors else x

    def layer_norm(self, name: str, x, eps: float):
        """Normalises the last axis of x, and applies weight and bias where there are any."""
        normal = normalise(x, eps)
        if f"{name}.weight" in self.tensors:
            normal = by_probe(mul, normal, self.tensors[f"{name}.weight"])
        return self._with_bias(name, normal)

    def rms_norm(self, name: str, x, eps: float, offset: float = 0.0):
        """Divides the last axis of x by its root mean square, times the weight and `offset`."""
        weight = self.tensors[f"{name}.weight"]
        return normalise_rms(x, eps) * (weight + offset if offset else weight)

    def lookup(self, name: str, ids):
        """Returns rows `ids` [N] of a table, [N, D]."""
        return self.rows[name] if name in self.rows else lookup(ids, self.tables[name])

    def first_row(self, name: str):
        """Returns row 0 of a table, [1, D], without a look-up."""
        return rows_of(self.tables[name][0][1], 0, 1)

    def embed(self, ids, word_ids: tuple[int, ...]):
        """Gathers word embeddings; the label words' rows of a tied head in the same look-up.

        Args:
          ids: [N] int32.
          word_ids: of the label words; none where options are scored.

        Returns:
          (rows [N, E] of the ids, LabelWords).
        """
        count, words = ids.shape[0], tf.constant(word_ids, tf.int32)
        together = self.tied and len(word_ids) > 0
        wanted = tf.concat([ids, words], 0) if together else ids
        gathered = self.lookup(self.names.word_embeddings, wanted)
        rows = rows_of(gathered, 0, count)
        embedded = rows_of(gathered, count, len(word_ids)) if together else None
        return rows, LabelWords(word_ids, words, embedded)

    def word_rows(self, words: LabelWords):
        """Returns the LM head's rows [C, E] of the label words."""
        if self.tied:
            return words.embedded
        # Only the chunks that hold a label word are looked into.
        chunks = [
            (first, chunk)
            for first, chunk in self.tables[self.names.decoder]
            if any(first <= word_id < first + chunk.shape[-2] for word_id in words.numbers)
        ]
        return lookup(words.ids, chunks)

    def word_bias(self, words: LabelWords):
        """Returns the LM head's biases [C] of the label words, where it has biases."""
        bias = self.tensors[self.names.bias]
        # Of probes [P, 1, V].
        return (
            gather(bias, words.ids) if len(bias.shape) == 1 else tf.gather(bias, words.ids, axis=-1)
        )

    @property
    def prefix_tokens(self) -> int:
        """P, how many keys and values stand before those of the row's tokens, in every layer."""
        return 0

    def keys_or_values(self, name: str, x, *, batch: int, heads: int, finish=None):
        """Returns what is attended to, [B, H, P + T, K].

        Args:
          name: of the projection.
          x: [1, B * T, D].
          batch: B.
          heads: H.
          finish: applied to the row's own keys [B, H, T, K], for norms and rotations.
        """
        rows = split_heads(self.linear(name, x), batch, heads)
        rows = finish(rows) if finish else rows
        return self.with_prefix(name, self.cache.with_rows(name, rows) if self.cache else rows)

    def with_prefix(self, name: str, rows):
        """Returns a layer's keys or values [B, H, T, K] behind those of a prefix, where it has one.

        Args:
          name: of them, as the architecture's `key_value_layers` has it.
          rows: those of the row's own tokens.
        """
        return rows

    def attendable(self, bias):
        """Returns a bias [B, 1, q, t] of attention that also covers what stands before the row."""
        return bias
