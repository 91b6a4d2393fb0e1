"""Batches and the training loop of the micro models.

Shapes: B rows, T tokens.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import tqdm

from . import tokenizer as bpe

TOKENS_PER_BATCH = 2048


def padded(rows: list[list[int]]) -> torch.Tensor:
    """Returns the rows as [B, T] int64, with `<pad>` after each."""
    ids = torch.full((len(rows), max(map(len, rows))), bpe.PAD_ID)
    for target, row in zip(ids, rows):
        target[: len(row)] = torch.tensor(row)
    return ids


def batches(lengths: list[int], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yields row numbers without end: rows of similar length, about TOKENS_PER_BATCH tokens.

    Args:
      lengths: tokens of each row.
      rng: shuffles rows of similar length, and the batches, in each epoch.
    """
    lengths = np.asarray(lengths)
    while True:
        order = np.argsort(lengths + rng.uniform(-2, 2, len(lengths)))
        ends = np.cumsum(lengths[order]) // TOKENS_PER_BATCH
        cut = np.split(order, np.flatnonzero(np.diff(ends)) + 1)
        yield from (cut[i] for i in rng.permutation(len(cut)))


def train(
    model: torch.nn.Module, next_loss: Callable[[], torch.Tensor], *, steps: int, peak_lr: float
) -> float:
    """Trains with AdamW; returns the mean loss of the last 100 steps, in nats.

    Args:
      model: changed in place.
      next_loss: computes the loss of the next batch, [] float32.
      steps: number of steps, of which 6% warm up and the rest decay linearly.
      peak_lr: learning rate after the warm-up.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=peak_lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    warmup = max(1, round(0.06 * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min((i + 1) / warmup, (steps - i) / (steps - warmup))
    )
    losses: list[float] = []
    model.train()
    progress = tqdm.trange(steps)
    for _ in progress:
        loss = next_loss()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        progress.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}")
    model.eval()
    return float(np.mean(losses[-100:]))
