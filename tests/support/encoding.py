"""Formats of rows as a bundle would give them, for tests that have a tokenizer alone."""

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import SpecialTokens
from pocketllm.runtime.data.encoded import RowFormat
from pocketllm.runtime.tasks.causal import CausalTask
from pocketllm.runtime.tasks.masked import MaskedTask


def special_of(tokenizer) -> SpecialTokens:
    """Returns the ids of a RoBERTa's or an OPT's special tokens."""
    ids = map(tokenizer.token_to_id, ("<s>", "</s>", "<pad>", "<mask>"))
    return SpecialTokens(*ids)


def masked_format(task: MaskedTask, tokenizer, tokens: int = 512) -> RowFormat:
    """Returns the format of a bundle whose longest bucket takes `tokens`."""
    return RowFormat(task, tokenizer, special_of(tokenizer), contract.WORDS, (), tokens, 0)


def causal_format(
    task: CausalTask, tokenizer, scoring: str, tokens: int, option_tokens: int, *, word_ids=()
) -> RowFormat:
    """Returns the format of a bundle that scores so, and whose longest bucket takes `tokens`."""
    special, words = special_of(tokenizer), tuple(word_ids)
    return RowFormat(task, tokenizer, special, scoring, words, tokens, option_tokens)
