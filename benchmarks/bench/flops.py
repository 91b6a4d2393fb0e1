"""Counts the floating-point operations that a loss needs; see export/graph/flops.py.

All scores of a causal attention are counted, though it needs little more than half of its T²: our
graph computes them all up to T = 128, and at T = 64 they are half a percent of OPT-1.3B's
operations. The count is the same for all sides, although PyTorch computes more: the last layer on
every row, the head on the whole vocabulary, and a causal head on every row unless the table
says otherwise. Of --task=lm every token is scored, by the whole vocabulary.
"""

from pocketllm.export.models import architecture_in_bundle
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.typed_json import typed


def forward_flops(bundle: Bundle, tokens: int) -> int:
    """Returns the number of operations that the loss of one example of `tokens` tokens needs.

    Raises:
      InputError: an architecture or a config that is none of ours.
    """
    architecture = architecture_in_bundle(bundle)
    try:
        config = typed(architecture.config, bundle.config, further=True)
    except ValueError as error:
        raise InputError(
            f"{bundle.folder}: bundle.json's config: {error}; export it again"
        ) from error
    rows, words = 1, len(bundle.word_ids)
    if bundle.scoring == contract.TOKEN_LOSS:
        rows, words = tokens, bundle.config["vocab_size"]
    return architecture.forward_flops(config, tokens, rows, words)
