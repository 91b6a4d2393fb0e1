"""Floating-point operations of the forward pass: its matrix products, 2 per multiply-add.

For one example of T tokens, hidden size D, feed-forward size F, L layers, C label words, and word
embeddings of width E:

    a full layer   2 T (4 D² + 2 D F)  projections   + 4 T² D  attention: scores, mix of values
    the last layer 2 T (2 D²)          keys, values of all rows
                 + 2 (2 D² + 2 D F)    query, output, feed-forward of the scored row  + 4 T D
    RoBERTa's head 2 D² + 2 D C
    OPT's head     2 E C;  where E is not D, also 2 T E D (project_in) + 2 D E (project_out)

    all            (L - 1) full layers + the last layer + the head

This is what the loss needs, but for one thing: OPT's attention is causal, so that little more than
half of its T² scores are needed. All are counted, as our graph computes them up to T = 128; at
T = 64 they are half a percent of OPT-1.3B's operations. All sides are credited with this count,
whatever they compute beyond it: PyTorch runs the last layer on every row and the head on the whole
vocabulary, and OPT's head on every row where the table does not say otherwise.
"""


def forward_flops(config: dict, tokens: int, classes: int) -> int:
    """Counts the operations that one example's loss needs.

    Args:
      config: the architecture, Hugging Face names, "model_type" among them.
      tokens: T.
      classes: C.
    """
    return _COUNTS[config["model_type"]](config, tokens, classes)


def _roberta(config, tokens, classes):
    hidden = config["hidden_size"]
    head = 2 * hidden**2 + 2 * hidden * classes
    return _layers(config, config["intermediate_size"], tokens) + head


def _opt(config, tokens, classes):
    hidden, width = config["hidden_size"], config["word_embed_proj_dim"]
    projections = 2 * (tokens + 1) * width * hidden if width != hidden else 0
    return _layers(config, config["ffn_dim"], tokens) + projections + 2 * width * classes


def _layers(config, inner, tokens):
    """Counts all layers, the last one with a single row; `inner` is F."""
    hidden = config["hidden_size"]
    full = 2 * tokens * (4 * hidden**2 + 2 * hidden * inner) + 4 * tokens**2 * hidden
    last = (
        2 * tokens * 2 * hidden**2 + 2 * (2 * hidden**2 + 2 * hidden * inner) + 4 * tokens * hidden
    )
    return (config["num_hidden_layers"] - 1) * full + last


_COUNTS = {"roberta": _roberta, "opt": _opt}
