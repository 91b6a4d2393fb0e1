"""Target: what the forward signatures score, and which inputs say where it stands."""

from dataclasses import dataclass

from pocketllm.runtime import contract


@dataclass(frozen=True)
class Target:
    """What the loss of a bundle is computed from.

    Attributes:
      scoring: one of contract.SCORINGS.
      word_ids: token ids of the label words; empty unless the scoring is WORDS.
      classes: C, columns of the logits.
      option_tokens: longest option that is scored; 0 for WORDS.
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
        """Whether the signature takes labels: a row of GOLD holds its option alone."""
        return self.scoring != contract.GOLD

    def option_rows(self, tokens: int) -> int:
        """Returns K, the scored tokens of a sequence in the bucket of `tokens`: BOS never is."""
        return min(self.option_tokens, tokens - 1)
