"""Target: what the forward signatures score."""

from dataclasses import dataclass

from tokenizers import Tokenizer

from pocketllm.runtime import contract
from pocketllm.runtime.tasks.codec import Task
from pocketllm.runtime.tasks.masked import MaskedTask
from pocketllm.runtime.tasks.text import TextTask

from ..checkpoint.label_words import label_word_ids, scoring_of

# Longest option that a `gold` signature scores by default; 13 tokens were found in COPA, 47 in
# ReCoRD's few rows. More would be scored too, for nothing, in every row.
GOLD_OPTION_TOKENS = 128
# A word can take more tokens behind a row with an empty field.
SPARE_OPTION_TOKENS = 2


@dataclass(frozen=True)
class Target:
    """What the loss of a bundle is computed from.

    Attributes:
      scoring: one of contract.SCORINGS.
      word_ids: token ids of the label words; empty unless the scoring is WORDS.
      classes: C, columns of the logits.
      option_tokens: longest option that is scored; 0 for WORDS and TOKEN_LOSS.
    """

    scoring: str
    word_ids: tuple[int, ...]
    classes: int
    option_tokens: int

    @property
    def sequences_per_row(self) -> int:
        """How many sequences one label, weight and row of logits belong to."""
        return self.classes if self.scoring == contract.OPTIONS else 1

    @property
    def has_label(self) -> bool:
        """Whether the signature takes labels: a row of GOLD or TOKEN_LOSS holds its text alone."""
        return self.scoring not in (contract.GOLD, contract.TOKEN_LOSS)

    def option_rows(self, tokens: int) -> int:
        """Returns K, the scored tokens of a sequence in the bucket of `tokens`: BOS never is."""
        return min(self.option_tokens, tokens - 1)


def target_of(task: Task, option_tokens: int, tokenizer: Tokenizer) -> Target:
    """Decides how a task is scored with a tokenizer.

    Args:
      task: of the model's style.
      option_tokens: longest option to score; 0 for what the task needs.
      tokenizer: of the checkpoint.
    """
    if isinstance(task, MaskedTask):
        return Target(contract.WORDS, label_word_ids(task, tokenizer), len(task.words), 0)
    if isinstance(task, TextTask):
        return Target(contract.TOKEN_LOSS, (), 1, 0)
    scoring = scoring_of(task, tokenizer)
    if scoring.kind == contract.GOLD:
        return Target(scoring.kind, (), 1, option_tokens or GOLD_OPTION_TOKENS)
    longest = max(scoring.option_tokens + SPARE_OPTION_TOKENS, option_tokens)
    option_tokens = longest if scoring.kind == contract.OPTIONS else 0
    return Target(scoring.kind, scoring.word_ids, len(task.words), option_tokens)
