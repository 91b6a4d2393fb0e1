"""Counts the floating-point operations that a loss needs; see export/graph/flops.py.

All scores of a causal attention are counted, though it needs little more than half of its T²: our
graph computes them all up to T = 128, and at T = 64 they are half a percent of OPT-1.3B's
operations. The count is the same for all sides, although PyTorch computes more: the last layer on
every row, the head on the whole vocabulary, and OPT's head on every row unless the table says
otherwise.
"""

from pocketllm.export.models import ARCHITECTURES


def forward_flops(config: dict, tokens: int, classes: int) -> int:
    """Returns the number of operations that one example's loss needs.

    Args:
      config: the bundle's model configuration, with Hugging Face names and "model_type".
      tokens: tokens of the example.
      classes: number of label words.
    """
    architecture = ARCHITECTURES[config["model_type"]]
    return architecture.forward_flops(
        architecture.read_config(config, "bundle.json"), tokens, classes
    )
