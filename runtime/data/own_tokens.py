"""Special tokens in a task's own text: its template and its words may spell them, no row can.

A causal row is one text. So the special tokens that the task spells are written there between two
noncharacters of Unicode: these marks are what the tokenizer cuts out, in the way in which it would
cut out the tokens, and what then becomes their ids. All else is text.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tokenizers import AddedToken, Tokenizer

from ..tasks.causal import CausalTask, WordChoice
from .reader import Example

BEGIN, END, REPLACEMENT = "\ufdd0", "\ufdd1", "\ufffd"


@dataclass(frozen=True)
class MarkedTask:
    """A task as rows are encoded with it.

    Attributes:
      task: its special tokens are marks.
      ids: the id of a mark -> that of its token.
    """

    task: CausalTask
    ids: Mapping[int, int] = field(default_factory=dict)

    def example(self, example: Example) -> Example:
        """Returns an example without marks."""
        if not self.ids:
            return example
        fields = {name: _without(text) for name, text in example.fields.items()}
        return replace(example, fields=fields, options=tuple(map(_without, example.options)))

    def tokens(self, ids: list[int]) -> list[int]:
        """Returns the ids of a marked text, with tokens for marks."""
        return [self.ids.get(number, number) for number in ids] if self.ids else ids


def marked_task(task: CausalTask, tokenizer: Tokenizer) -> MarkedTask:
    """Marks the special tokens that a task spells, and teaches the tokenizer these marks.

    Args:
      task: of a bundle.
      tokenizer: of the bundle; it has more tokens from then on where the task spells some.
    """
    spelled = spelled_tokens(task, tokenizer)
    if not spelled:
        return MarkedTask(task)
    tokenizer.add_tokens(
        [
            AddedToken(
                _mark(token.content),
                single_word=token.single_word,
                lstrip=token.lstrip,
                rstrip=token.rstrip,
                normalized=False,
            )
            for token in spelled.values()
        ]
    )
    marks = {tokenizer.token_to_id(_mark(t.content)): number for number, t in spelled.items()}
    ids = {mark: number for mark, number in marks.items() if mark is not None}
    longest_first = sorted((token.content for token in spelled.values()), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))

    def marked(text):
        return pattern.sub(lambda match: _mark(match[0]), text)

    choice = task.choice
    if isinstance(choice, WordChoice):
        choice = replace(choice, words=tuple(map(marked, choice.words)))
    return MarkedTask(replace(task, template=marked(task.template), choice=choice), ids)


def spelled_tokens(task: CausalTask, tokenizer: Tokenizer) -> dict[int, AddedToken]:
    """Returns the special tokens that a task spells, by id."""
    texts, added = (task.template, *task.words), tokenizer.get_added_tokens_decoder()
    return {
        number: token
        for number, token in added.items()
        if token.special and any(token.content in text for text in texts)
    }


def unmarked(text: str) -> str:
    """Returns a text as the task spells it, for people to read."""
    return text.replace(BEGIN, "").replace(END, "")


def _mark(token):
    return f"{BEGIN}{token}{END}"


def _without(text):
    return text.replace(BEGIN, REPLACEMENT)
