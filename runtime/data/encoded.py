"""Examples as token ids, and the format that rows of either style have."""

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from ..bundle.contents import SpecialTokens
from ..tasks.chat import ChatPieces
from ..tasks.codec import Task


@dataclass(frozen=True)
class RowFormat:
    """Everything that rows are encoded with: the same for all examples of a bundle.

    Attributes:
      task: template, label words or options.
      tokenizer: of the bundle.
      special: ids of the tokens that frame and fill a row.
      scoring: one of contract.SCORINGS.
      word_ids: token ids of the label words, for "words".
      tokens: the longest row that the forward signatures take, and the only limit of a row.
      option_tokens: the longest option, for "options" and "gold".
      chat: pieces of the template, for chats.
    """

    task: Task
    tokenizer: Tokenizer
    special: SpecialTokens
    scoring: str
    word_ids: tuple[int, ...]
    tokens: int
    option_tokens: int
    chat: ChatPieces | None = None


@dataclass(frozen=True, eq=False)
class Encoded:
    """One sequence as the model reads it, without padding."""

    input_ids: np.ndarray  # [tokens] int32
    target: dict[str, int]  # further inputs of the forward signature: name -> value
    truncated: bool  # whether tokens were left out
    loss_mask: np.ndarray | None = None  # [tokens] int32, 1 for a learnt one, for "tokens"
    learnt_truncated: bool = False  # whether learnt tokens are among those left out, for "tokens"


@dataclass(frozen=True, eq=False)
class EncodedExample:
    """One example: a sequence for each option, or the one that all label words share.

    Attributes:
      sequences: in label order; of "tokens" the only one.
      golds: the right classes or options; the first is trained on. None of "tokens".
      group: shared by the answers to one question, or None.
      answers: what each option answers, where the data says it.
    """

    sequences: tuple[Encoded, ...]
    golds: tuple[int, ...]
    group: str | None = None
    answers: tuple[str, ...] = ()

    @property
    def learnt_tokens(self) -> int:
        """The number of learnt tokens, for "tokens"."""
        masks = (sequence.loss_mask for sequence in self.sequences)
        return sum(int(mask.sum()) for mask in masks if mask is not None)

    @property
    def truncated(self) -> bool:
        """Whether any sequence left tokens out."""
        return any(sequence.truncated for sequence in self.sequences)

    @property
    def learnt_truncated(self) -> bool:
        """Whether learnt tokens were left out, for "tokens"."""
        return any(sequence.learnt_truncated for sequence in self.sequences)
