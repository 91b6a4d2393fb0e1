"""Label words as tokens: which tokenizer ids they have, and how they are scored."""

from dataclasses import dataclass

from tokenizers import Tokenizer

from pocketllm.runtime import contract
from pocketllm.runtime.data.own_tokens import marked_task, spells_tokens
from pocketllm.runtime.data.tokenizer import all_token_ids
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.causal import CausalTask
from pocketllm.runtime.tasks.masked import MaskedTask
from pocketllm.runtime.tasks.templates import fill, template_fields

UNKNOWN = "<unk>"
STAND_IN = "x"


def label_word_ids(task: MaskedTask, tokenizer) -> tuple[int, ...]:
    """Returns the token id of each class's label word: one token each, all distinct."""
    ids, unknown = [], _unknown_ids(tokenizer)
    for label, word in zip(task.labels, task.words):
        encoding = tokenizer.encode(word, add_special_tokens=False)
        if len(encoding.ids) != 1 or encoding.ids[0] in unknown:
            raise InputError(
                f"label word {word!r} of label {label!r}: found the tokens {encoding.tokens!r}, "
                "expected exactly one known token; choose a shorter, more common word"
            )
        if encoding.ids[0] in ids:
            raise InputError(
                f"label word {word!r} of label {label!r}: found token {encoding.ids[0]}, which "
                "another label has too, expected distinct tokens; choose another word"
            )
        ids.append(encoding.ids[0])
    return tuple(ids)


def _unknown_ids(tokenizer):
    """Returns the ids that stand for what the vocabulary lacks: the usual one, and the model's."""
    own = getattr(getattr(tokenizer, "model", None), "unk_token", None)
    return {tokenizer.token_to_id(token) for token in (UNKNOWN, own) if token} - {None}


@dataclass(frozen=True)
class Scoring:
    """How a task's options are scored with a tokenizer.

    Attributes:
      kind: one of contract.SCORINGS.
      word_ids: token ids of the label words, for WORDS.
      option_tokens: the longest word's tokens, for OPTIONS; 0 where no word says it.
    """

    kind: str
    word_ids: tuple[int, ...]
    option_tokens: int


def scoring_of(task: CausalTask, tokenizer) -> Scoring:
    """Decides how a task is scored.

    One row serves all words if each is one token behind the prompt, and the prompt is cut into the
    same tokens whichever word follows. The whole prompt is tokenised, with a letter in each field:
    what a tokenizer puts in front of a text (▁ of Llama 2) belongs to no word.
    """
    if not task.words:
        return Scoring(contract.GOLD, (), 0)
    if spells_tokens(task, tokenizer):
        tokenizer = Tokenizer.from_str(tokenizer.to_str())  # a bundle's own has no marks
    marked = marked_task(task, tokenizer)
    template = marked.task.template
    prompt = fill(template, dict.fromkeys(template_fields(template), STAND_IN))
    texts = [text.strip(" ") for text in (prompt, *(prompt + word for word in marked.task.words))]
    before, *rows = map(marked.tokens, all_token_ids(tokenizer, texts))
    lengths = [len(tokens) - len(before) for tokens in rows]
    word_ids = tuple(tokens[-1] for tokens in rows)
    shared = {(length, *tokens[:-1]) for length, tokens in zip(lengths, rows)} == {(1, *before)}
    known = not _unknown_ids(tokenizer) & set(word_ids)
    if shared and known and len(set(word_ids)) == len(word_ids):
        return Scoring(contract.WORDS, word_ids, 0)
    return Scoring(contract.OPTIONS, (), max(lengths))
