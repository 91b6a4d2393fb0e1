"""What is said of a text beside it: how fast it was written, and why it ended."""

import math

from .. import contract
from ..bundle.contents import Bundle
from ..tasks.text import CHAT
from .writer import CONTEXT, STOP, Written, longer_context

TRAINED_BITS = contract.BASE_BITS[contract.FP32]


def weight_bytes(bundle: Bundle) -> int:
    """Returns the bytes of the weights that are read for one token: those of every product.

    The head's table counts, and no other of the vocabulary's size: one row of that is looked up.
    """
    shapes = [(parameter.shape, TRAINED_BITS) for parameter in bundle.parameters]
    shapes += [(shape, contract.BASE_BITS[bundle.base]) for shape in bundle.frozen.values()]
    vocabulary = bundle.config["vocab_size"]
    tables = [entry for entry in shapes if len(entry[0]) == 2 and entry[0][0] == vocabulary]
    others = [(shape, bits) for shape, bits in shapes if len(shape) == 2 and shape[0] != vocabulary]
    return sum(math.prod(shape) * bits // 8 for shape, bits in others + tables[-1:])


def describe_speed(written: Written, bundle: Bundle) -> str:
    """Returns tokens a second of prompt and text, and the bytes of weights a second."""
    parts = [
        f"prompt {written.read_tokens} tokens{_rate(written.read_tokens, written.read_seconds)}"
    ]
    new = len(written.token_ids)
    decoded = _rate(written.decoded_tokens, written.decode_seconds)
    if decoded:
        rate = written.decoded_tokens * weight_bytes(bundle) / written.decode_seconds
        decoded += f", {rate / 1e9:.2f} GB/s of weights"
    return "; ".join([*parts, f"{new} new tokens{decoded}"])


def describe_end(written: Written, bundle: Bundle, *, is_chat: bool) -> str:
    """Returns why a text ended, where that was neither its own end nor what was wanted; else "".

    Args:
      written: the text.
      bundle: that wrote it.
      is_chat: whether the prompt was a chat's.
    """
    if written.ended == CONTEXT:
        return f"the context of {bundle.context} tokens is full; {longer_context(bundle)}"
    if written.text or written.ended != STOP:
        return ""
    of_chats = getattr(bundle.task, "form", "") == CHAT and not is_chat
    remedy = "; a bundle of --task=chat is asked with --chat" if of_chats else ""
    return f"the model ended its text at once{remedy}"


def _rate(tokens, seconds):
    return f", {tokens / seconds:.1f}/s" if tokens and seconds else ""
