"""A bundle's model in PyTorch, as transformers builds it, and the losses of its task.

Shapes: B examples, T tokens, D hidden, V vocabulary, C options, S = B C sequences, K tokens of the
longest option.
"""

import json
from collections.abc import Sequence

import torch
import transformers
from transformers import PreTrainedModel

from pocketllm.export.checkpoint.source_files import CONFIG_FILE, read_source_files
from pocketllm.export.models import ARCHITECTURES, architecture_in_bundle
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.data.batches import Batch, Row, micro_batches
from pocketllm.runtime.errors import InputError

from .initial_values import initial_values

# inputs with the position that is scored
SCORED = (contract.MASK_POSITION, contract.LAST_POSITION)
NOT_LEARNT = -100  # label of such a token in transformers


def load_model(bundle: Bundle) -> PreTrainedModel:
    """Returns the bundle's model with its initial values, copied one parameter at a time.

    transformers reads the checkpoint's own config.json, which source.json holds.

    The cache for generation is off: it would keep keys and values of every layer, which the loss
    does not read.

    Raises:
      InputError: the bundle's parameters are not the model's: it does not train all.
    """
    model_class = getattr(transformers, architecture_in_bundle(bundle).hf_class)
    values = {"tie_word_embeddings": bundle.tied_decoder, "use_cache": False}
    model = model_class(model_class.config_class(**_config_json(bundle) | values)).eval()
    parameters = dict(model.named_parameters())
    differing = sorted(set(parameters) ^ {parameter.name for parameter in bundle.parameters})
    if differing:
        raise InputError(
            f"{bundle.folder}: its parameters and {model_class.__name__}'s differ in "
            f"{', '.join(differing)}; compare a bundle that trains all parameters"
        )
    for name, array in initial_values(bundle):
        parameters[name].data.copy_(torch.from_numpy(array))
    return model


def _config_json(bundle):
    """Returns the checkpoint's config.json without what would not be float32, or not run."""
    values = json.loads(read_source_files(bundle).files[CONFIG_FILE])
    left_out = ("model_type", "dtype", "torch_dtype")
    return {name: value for name, value in values.items() if name not in left_out}


def one_batch(rows: Sequence[Row], tokens: int, pad_id: int) -> Batch:
    """Returns rows as one batch, padded to `tokens`; the bundle's batch size does not matter."""
    (batch,) = micro_batches(rows, len(rows), [tokens], pad_id)
    return batch


def word_loss(
    model: PreTrainedModel, batch: Batch, word_ids: Sequence[int], full_head: bool
) -> torch.Tensor:
    """Returns the mean loss of the label words, [] float32; see `word_scores`."""
    return _cross_entropy(word_scores(model, batch, word_ids, full_head), batch)


def word_scores(
    model: PreTrainedModel, batch: Batch, word_ids: Sequence[int], full_head: bool
) -> torch.Tensor:
    """Returns the logits of the label words, [B, C] float32, in one forward pass.

    Args:
      model: a model of any architecture.
      batch: a batch of scoring "words", without filler rows; each row has one scored position.
      word_ids: token ids of the label words.
      full_head: run the LM head on every token, as the model's own forward pass does, instead of
        on the scored token alone; it gives the whole vocabulary either way.
    """
    inputs = {name: torch.from_numpy(array).long() for name, array in batch.inputs.items()}
    ids, mask = inputs[contract.INPUT_IDS], inputs[contract.ATTENTION_MASK]
    position = next(inputs[name] for name in SCORED if name in inputs)
    scored = torch.arange(len(ids)), position
    if full_head:
        logits = model(ids, attention_mask=mask).logits[scored]  # B V, of B T V
    else:
        hidden = model.base_model(ids, attention_mask=mask).last_hidden_state  # B T D
        logits = _logits(model, hidden[scored])  # B V
    return logits[:, list(word_ids)]


def option_scores(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Returns the scores of the options, [B, C] float32, in one forward pass.

    The score of an option is the mean log-probability of its tokens. The LM head runs only on the
    positions that predict them.

    Args:
      model: a causal model.
      batch: a batch of scoring "options", without filler rows.
    """
    inputs = {name: torch.from_numpy(array).long() for name, array in batch.inputs.items()}
    ids, labels = inputs[contract.INPUT_IDS], inputs[contract.LABEL]
    first, count = inputs[contract.OPTION_START], inputs[contract.OPTION_TOKENS]
    steps = torch.arange(int(count.max()))
    inside = steps < count[:, None]  # S K
    places = (first[:, None] + steps).clamp(max=ids.shape[1] - 1)  # S K
    hidden = model.base_model(ids, attention_mask=inputs[contract.ATTENTION_MASK])
    before = hidden.last_hidden_state[torch.arange(len(ids))[:, None], places - 1]  # S K D
    log_probs = _logits(model, before).log_softmax(-1)  # S K V
    log_probs = log_probs.gather(-1, ids.gather(1, places)[..., None])[..., 0]  # S K
    scores = (log_probs * inside).sum(1) / count
    return scores.reshape(len(labels), -1)


def row_scores(model: PreTrainedModel, bundle: Bundle, batch: Batch) -> torch.Tensor:
    """Returns a batch's scores [B, C], with the LM head on the scored positions alone."""
    if bundle.scoring == contract.OPTIONS:
        return option_scores(model, batch)
    return word_scores(model, batch, bundle.word_ids, full_head=False)


def token_loss(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Returns the mean loss of the learnt tokens, [] float32, as transformers computes it.

    Args:
      model: a causal model.
      batch: a batch of scoring "tokens", without filler rows.
    """
    inputs = {name: torch.from_numpy(array).long() for name, array in batch.inputs.items()}
    ids, learnt = inputs[contract.INPUT_IDS], inputs[contract.LOSS_MASK]
    labels = torch.where(learnt > 0, ids, NOT_LEARNT)
    return model(ids, attention_mask=inputs[contract.ATTENTION_MASK], labels=labels).loss


def row_loss(
    model: PreTrainedModel, bundle: Bundle, batch: Batch, full_head: bool = False
) -> torch.Tensor:
    """Returns a batch's mean loss, [] float32: of `row_scores`, or of learnt tokens.

    With `full_head`, label words are scored with the LM head on every token.
    """
    if bundle.scoring == contract.TOKEN_LOSS:
        return token_loss(model, batch)
    if full_head:
        return word_loss(model, batch, bundle.word_ids, full_head)
    return _cross_entropy(row_scores(model, bundle, batch), batch)


def _cross_entropy(scores, batch):
    labels = torch.from_numpy(batch.inputs[contract.LABEL]).long()
    return torch.nn.functional.cross_entropy(scores, labels)


def _logits(model, hidden):
    """Returns the LM head's logits [.., V] of hidden states [.., D], as its forward does."""
    modules = ARCHITECTURES[model.config.model_type].names.head
    logits = torch.nn.Sequential(*map(model.get_submodule, modules))(hidden)
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap
