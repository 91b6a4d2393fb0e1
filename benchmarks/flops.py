"""Floating-point operations of the masked-LM forward pass: its matrix products, 2 per multiply-add.

For one example of T tokens, hidden size D, feed-forward size F, L layers, C label words:

    a full layer   2 T (4 D² + 2 D F)  projections   + 4 T² D  attention: scores, mix of values
    the last layer 2 T (2 D²)          keys, values of all rows
                 + 2 (2 D² + 2 D F)    query, output, feed-forward of the mask's row  + 4 T D
    the head       2 D² + 2 D C

    all            (L - 1) full layers + the last layer + the head

This is what the loss needs. Both sides are credited with this count, whatever they compute beyond
it: PyTorch runs the last layer on every row and the decoder on the whole vocabulary.
"""


def forward_flops(config: dict, tokens: int, classes: int) -> int:
    """Counts the operations that one example's loss needs.

    Args:
      config: the architecture, Hugging Face names.
      tokens: T.
      classes: C.
    """
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    full = 2 * tokens * (4 * hidden**2 + 2 * hidden * inner) + 4 * tokens**2 * hidden
    last = (
        2 * tokens * 2 * hidden**2 + 2 * (2 * hidden**2 + 2 * hidden * inner) + 4 * tokens * hidden
    )
    head = 2 * hidden**2 + 2 * hidden * classes
    return (config["num_hidden_layers"] - 1) * full + last + head
