"""The batches, the two losses and the loop that train roberta-micro.

Shapes: B rows, T tokens, M selected tokens, V vocabulary.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import tqdm
from torch.nn import functional

from . import roberta_micro_tokenizer as bpe

TOKENS_PER_BATCH = 2048
MASKED_SHARE = 0.2
MASKED_LM_WEIGHT = 0.3  # beside the prompt loss


def padded(rows: list[list[int]]) -> torch.Tensor:
    """Returns [B, T] int64, filled with `<pad>` behind each row."""
    ids = torch.full((len(rows), max(map(len, rows))), bpe.PAD_ID)
    for target, row in zip(ids, rows):
        target[: len(row)] = torch.tensor(row)
    return ids


def batches(lengths: list[int], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yields row numbers for ever: rows of like length, about TOKENS_PER_BATCH tokens with padding.

    Args:
      lengths: tokens of each row.
      rng: shuffles the rows of like length and the batches, anew in each epoch.
    """
    lengths = np.asarray(lengths)
    while True:
        order = np.argsort(lengths + rng.uniform(-2, 2, len(lengths)))
        ends = np.cumsum(lengths[order]) // TOKENS_PER_BATCH
        cut = np.split(order, np.flatnonzero(np.diff(ends)) + 1)
        yield from (cut[i] for i in rng.permutation(len(cut)))


def masked_logits(model: torch.nn.Module, ids: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Returns the logits [M, V] float32 of the tokens that `where` [B, T] bool selects."""
    attend = (ids != bpe.PAD_ID).long()
    hidden = model.roberta(ids, attention_mask=attend).last_hidden_state  # B T D
    return model.lm_head(hidden[where])


def hide_tokens(ids: torch.Tensor, hideable: torch.Tensor, vocab_size: int):
    """Hides a share of the tokens as RoBERTa's training does: 80% masked, 10% random, 10% kept.

    Args:
      ids: [B, T] int64.
      hideable: [B, T] bool.
      vocab_size: V; `<mask>` is V - 1.

    Returns:
      The ids with tokens hidden, and where, [B, T] bool.
    """
    hidden = (torch.rand(ids.shape) < MASKED_SHARE) & hideable
    kind = torch.rand(ids.shape)
    seen = torch.where(hidden & (kind < 0.8), vocab_size - 1, ids)
    noise = torch.randint(4, vocab_size - 1, ids.shape)
    return torch.where(hidden & (kind > 0.9), noise, seen), hidden


def masked_lm_loss(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Returns the mean cross-entropy, in nats, over the tokens hidden in ids [B, T]."""
    seen, hidden = hide_tokens(ids, ids > bpe.EOS_ID, model.config.vocab_size)
    return functional.cross_entropy(masked_logits(model, seen, hidden), ids[hidden])


def prompt_loss(
    model: torch.nn.Module, ids: torch.Tensor, words: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Returns the cross-entropy of the label words plus a share of that of the hidden tokens.

    Args:
      model: the masked LM.
      ids: [B, T] int64 with one `<mask>` a row.
      words: [B, 2] int64, the ids of the negative and the positive word of each row.
      labels: [B] int64.
    """
    mask_id = model.config.vocab_size - 1
    slot = ids == mask_id
    seen, hidden = hide_tokens(ids, (ids > bpe.EOS_ID) & ~slot, model.config.vocab_size)
    logits = masked_logits(model, seen, slot | hidden)
    targets = ids[slot | hidden]
    asked = targets == mask_id
    answer = functional.cross_entropy(logits[asked].gather(1, words), labels)
    return answer + MASKED_LM_WEIGHT * functional.cross_entropy(logits[~asked], targets[~asked])


def train(
    model: torch.nn.Module, next_loss: Callable[[], torch.Tensor], steps: int, peak_lr: float
) -> float:
    """Trains with AdamW, warm-up and linear decay; returns the mean loss of the last 100 steps."""
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
