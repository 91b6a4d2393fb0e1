"""Special tokens in a task's own text: its template and its words may spell them, no row can.

A causal row is one text. So the special tokens that the task spells are written there as marks.
"""

from dataclasses import dataclass, replace

from tokenizers import Tokenizer

from ..tasks.causal import CausalTask, WordChoice
from .marks import Marks, without_marks
from .reader import Example


@dataclass(frozen=True)
class MarkedTask:
    """A task as rows are encoded with it.

    Attributes:
      task: its special tokens are marks.
      marks: those.
    """

    task: CausalTask
    marks: Marks

    def example(self, example: Example) -> Example:
        """Returns an example without marks."""
        if self.marks.is_empty:
            return example
        fields = {name: without_marks(text) for name, text in example.fields.items()}
        return replace(example, fields=fields, options=tuple(map(without_marks, example.options)))

    def tokens(self, ids: list[int]) -> list[int]:
        """Returns the ids of a marked text, with tokens for marks."""
        return ids if self.marks.is_empty else self.marks.tokens(ids)


def marked_task(task: CausalTask, tokenizer: Tokenizer) -> MarkedTask:
    """Marks the special tokens that a task spells, and teaches the tokenizer these marks.

    Args:
      task: of a bundle.
      tokenizer: of the bundle; it has more tokens from then on where the task spells some.
    """
    marks = Marks(tokenizer)
    marks.teach([task.template, *task.words])
    choice = task.choice
    if isinstance(choice, WordChoice):
        choice = replace(choice, words=tuple(map(marks.marked, choice.words)))
    return MarkedTask(replace(task, template=marks.marked(task.template), choice=choice), marks)


def spells_tokens(task: CausalTask, tokenizer: Tokenizer) -> bool:
    """Returns whether a task spells special tokens."""
    marks = Marks(tokenizer)
    return any(marks.spelled(text) for text in (task.template, *task.words))
