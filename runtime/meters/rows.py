"""The loss of each row, out of what a forward signature returns for a batch."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .. import contract
from ..data.batches import Batch

# Scorings whose logits are the mean log-probability of a row's tokens: [B, 1].
OF_TOKENS = (contract.GOLD, contract.TOKEN_LOSS)


class Forward(Protocol):
    """What runs a batch."""

    def forward(self, batch: Batch) -> dict[str, np.ndarray]:
        """Returns loss [1], weight_sum [1], logits [B, C]."""
        ...


def row_losses(model: Forward, batches: Sequence[Batch], scoring: str) -> np.ndarray:
    """Returns the losses of all rows, [R] float64, one batch's after the other's.

    Joined by `row_weights` they are the batches' joint loss.

    Args:
      model: runs the batches.
      batches: whose filler rows are left out.
      scoring: one of contract.SCORINGS.
    """
    return np.concatenate([_losses(model.forward(batch), batch, scoring) for batch in batches])


def row_weights(batches: Sequence[Batch], scoring: str) -> np.ndarray:
    """Returns the weights of all rows in the batches' joint loss, [R] float64, their mean 1."""
    weights = np.concatenate([_weights(batch, scoring) for batch in batches])
    return weights / weights.mean()


def _losses(outputs, batch, scoring):
    logits = outputs[contract.LOGITS][: batch.rows].astype(np.float64)
    if scoring in OF_TOKENS:
        return -logits[:, 0]
    highest = logits.max(axis=1)
    total = highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1))
    return total - logits[np.arange(batch.rows), batch.inputs[contract.LABEL][: batch.rows]]


def _weights(batch, scoring):
    weights = batch.inputs[contract.WEIGHT][: batch.rows].astype(np.float64)
    if scoring == contract.GOLD:
        return weights * batch.inputs[contract.OPTION_TOKENS][: batch.rows]
    if scoring == contract.TOKEN_LOSS:  # the first token is never learnt
        return weights * batch.inputs[contract.LOSS_MASK][: batch.rows, 1:].sum(axis=1)
    return weights
