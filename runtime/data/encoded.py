"""Examples as token ids: what either style of prompt is encoded to."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Encoded:
    """One sequence as the model reads it, without padding."""

    input_ids: np.ndarray  # [tokens] int32
    target: dict[str, int]  # where the forward signature looks: its further inputs, by their names
    truncated: bool  # tokens were left out


@dataclass(frozen=True, eq=False)
class EncodedExample:
    """One example: a sequence for each option, or the one that all label words share.

    Attributes:
      sequences: in label order.
      golds: the right classes or options; the first is trained on.
      group: shared by the answers to one question, or None.
      answers: what each option answers, where the data says it.
    """

    sequences: tuple[Encoded, ...]
    golds: tuple[int, ...]
    group: str | None = None
    answers: tuple[str, ...] = ()

    @property
    def truncated(self) -> bool:
        """Whether any sequence left tokens out."""
        return any(sequence.truncated for sequence in self.sequences)
