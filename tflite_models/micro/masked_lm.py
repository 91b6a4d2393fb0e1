"""The two losses of roberta-micro: masked tokens, and label word of a prompt.

Shapes: B rows, T tokens, M selected tokens, V vocabulary.
"""

import torch
from torch.nn import functional

from . import tokenizer as bpe

MASKED_SHARE = 0.2
MASKED_LM_WEIGHT = 0.3  # of the masked-LM loss in the prompt loss


def masked_logits(model: torch.nn.Module, ids: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Returns the logits [M, V] float32 of the tokens that `where` [B, T] bool selects."""
    attend = (ids != bpe.PAD_ID).long()
    hidden = model.roberta(ids, attention_mask=attend).last_hidden_state  # B T D
    return model.lm_head(hidden[where])


def hide_tokens(
    ids: torch.Tensor, hideable: torch.Tensor, vocab_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hides a share of the tokens as RoBERTa's training does: 80% masked, 10% random, 10% kept.

    Args:
      ids: [B, T] int64.
      hideable: [B, T] bool.
      vocab_size: V; `<mask>` is V - 1.

    Returns:
      The ids with some tokens replaced, [B, T] int64, and which tokens the loss is of, [B, T] bool.
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
    """Returns the cross-entropy of the label words plus a share of that of hidden tokens, in nats.

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
    is_slot = targets == mask_id
    answer = functional.cross_entropy(logits[is_slot].gather(1, words), labels)
    masked_lm = functional.cross_entropy(logits[~is_slot], targets[~is_slot])
    return answer + MASKED_LM_WEIGHT * masked_lm
