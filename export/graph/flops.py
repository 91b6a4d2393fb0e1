"""Floating-point operations of a forward pass: its matrix products, 2 per multiply-add.

For one example of T tokens, and L layers of width D with heads of together A (queries) and B (keys,
or values) and feed-forward matrices of together D x F values:

    a full layer   2 T (2 D A + 2 D B + D F)  projections   + 4 T² A  attention: scores, mix
    the last layer 2 T (2 D B)                keys, values of all rows
                 + R (2 (2 D A + D F) + 4 T A)  the rest, of the R scored rows: 1, or all T

    all            (L - 1) full layers + the last layer + the head, which each architecture adds
"""

from typing import NamedTuple


class Layer(NamedTuple):
    """Widths of a layer: D, A, B, and the outputs F of its feed-forward matrices together."""

    hidden: int
    queries: int
    keys: int
    inner: int


def plain_layer(hidden: int, intermediate: int) -> Layer:
    """Returns a layer with as many heads of keys as of queries, and two feed-forward matrices."""
    return Layer(hidden, hidden, hidden, 2 * intermediate)


def layers_flops(tokens: int, layer: Layer, layers: int, rows: int) -> int:
    """Counts the operations of L layers; only the scored rows leave the last."""
    hidden, queries, keys, inner = layer
    of_row = 2 * (2 * hidden * queries + hidden * inner)
    of_keys = 2 * tokens * 2 * hidden * keys
    full = tokens * of_row + of_keys + 4 * tokens**2 * queries
    return (layers - 1) * full + of_keys + rows * (of_row + 4 * tokens * queries)
