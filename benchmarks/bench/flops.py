"""Floating-point operations that an example's loss needs (export/models/flops.py, `forward_flops`).

All scores of a causal attention are counted, though it needs little more than half of its T²: our
graph computes them all up to T = 128, and at T = 64 they are half a percent of OPT-1.3B's
operations. All sides are credited with this count, whatever they compute beyond it: PyTorch runs
the last layer on every row and the head on the whole vocabulary, and OPT's head on every row where
the table does not say otherwise.
"""

from pocketllm.export.models import ARCHITECTURES


def forward_flops(config: dict, tokens: int, classes: int) -> int:
    """Counts the operations that one example's loss needs.

    Args:
      config: of the bundle: Hugging Face names, "model_type" among them.
      tokens: T.
      classes: C, label words.
    """
    architecture = ARCHITECTURES[config["model_type"]]
    return architecture.forward_flops(
        architecture.read_config(config, "bundle.json"), tokens, classes
    )
