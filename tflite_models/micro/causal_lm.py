"""The two losses of opt-micro: next token, and label word of a prompt.

Rows are padded on the right, so that a causal model needs no attention mask.

Shapes: B rows, T tokens, N tokens of all rows that have a next one, D hidden, V vocabulary.
"""

import torch
from torch.nn import functional

from . import tokenizer as bpe

CAUSAL_LM_WEIGHT = 0.3  # of the next-token loss in the prompt loss


def hidden_states(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Returns the input of the LM head, [B, T, D] float32."""
    return model.model.decoder(ids, use_cache=False).last_hidden_state


def next_token_loss(model, ids: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Returns the mean cross-entropy, in nats, of all tokens but the first of each row."""
    targets = ids[:, 1:]
    real = targets != bpe.PAD_ID
    return functional.cross_entropy(model.lm_head(hidden[:, :-1][real]), targets[real])  # N V, N


def causal_lm_loss(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Returns the next-token loss of ids [B, T]."""
    return next_token_loss(model, ids, hidden_states(model, ids))


def at_last_token(ids: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Returns the hidden state of each row's last token that is not padding, [B, D]."""
    last = (ids != bpe.PAD_ID).sum(1) - 1
    return hidden[torch.arange(len(ids)), last]


def last_logits(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Returns the logits [B, V] float32 of the token after each row."""
    return model.lm_head(at_last_token(ids, hidden_states(model, ids)))


def prompt_loss(
    model: torch.nn.Module, ids: torch.Tensor, words: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Returns the cross-entropy of the label words plus a share of the next-token loss, in nats.

    Args:
      model: the causal LM.
      ids: [B, T] int64; the label word is the token after each row.
      words: [B, 2] int64, the ids of the negative and the positive word of each row.
      labels: [B] int64.
    """
    hidden = hidden_states(model, ids)
    logits = model.lm_head(at_last_token(ids, hidden))  # B V
    answer = functional.cross_entropy(logits.gather(1, words), labels)
    return answer + CAUSAL_LM_WEIGHT * next_token_loss(model, ids, hidden)
