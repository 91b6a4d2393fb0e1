"""Floating-point operations of a forward pass: its matrix products, 2 per multiply-add.

For one example of T tokens, hidden size D, feed-forward size F and L layers:

    a full layer   2 T (4 D² + 2 D F)  projections   + 4 T² D  attention: scores, mix of values
    the last layer 2 T (2 D²)          keys, values of all rows
                 + 2 (2 D² + 2 D F)    query, output, feed-forward of the scored row  + 4 T D

    all            (L - 1) full layers + the last layer + the head, which each architecture adds
"""


def layers_flops(tokens: int, *, hidden: int, inner: int, layers: int) -> int:
    """Counts the operations of L layers; only one row leaves the last (`inner` is F)."""
    full = 2 * tokens * (4 * hidden**2 + 2 * hidden * inner) + 4 * tokens**2 * hidden
    keys_values = 2 * tokens * 2 * hidden**2
    scored_row = 2 * (2 * hidden**2 + 2 * hidden * inner) + 4 * tokens * hidden
    return (layers - 1) * full + keys_values + scored_row
