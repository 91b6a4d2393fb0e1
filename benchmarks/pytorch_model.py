"""A bundle's model in PyTorch, as transformers builds it, and the loss of its label words.

Shapes: B examples, T tokens, V vocabulary, C label words.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import (
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from pocketllm.runtime.batching import Row
from pocketllm.runtime.bundle import Bundle
from pocketllm.runtime.errors import InputError

from .initial_values import initial_values

# family -> its classes
CLASSES = {"roberta": (RobertaConfig, RobertaForMaskedLM), "opt": (OPTConfig, OPTForCausalLM)}


def load_model(bundle: Bundle) -> PreTrainedModel:
    """Builds the bundle's model and copies the initial values in, one parameter at a time.

    Generation's cache is off: OPT would keep every layer's keys and values, which no loss reads.
    """
    config_class, model_class = CLASSES[bundle.family]
    values = {name: value for name, value in bundle.config.items() if name != "model_type"}
    values |= {"tie_word_embeddings": bundle.tied_decoder, "use_cache": False}
    model = model_class(config_class(**values)).eval()
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


def word_loss(
    model: PreTrainedModel, rows: Sequence[Row], word_ids: Sequence[int], full_head: bool
) -> float:
    """Returns the mean loss of the label words, of rows of equal length, in one forward pass.

    Args:
      model: of either family.
      rows: of scoring "words": one sequence, one position that is scored.
      word_ids: of the label words.
      full_head: run the LM head on every token, as the model's own forward pass does, and not on
        the scored one alone; it gives the whole vocabulary either way.
    """
    sequences = [sequence for row in rows for sequence in row.sequences]
    ids = torch.from_numpy(np.stack([sequence.input_ids for sequence in sequences])).long()
    mask = torch.ones_like(ids)
    positions = torch.tensor([p for sequence in sequences for p in sequence.target.values()])
    scored = torch.arange(len(rows)), positions
    labels = torch.tensor([row.label for row in rows])
    with torch.inference_mode():
        if full_head:
            logits = model(ids, attention_mask=mask).logits[scored]  # B V, of B T V
        else:
            hidden = model.base_model(ids, attention_mask=mask).last_hidden_state  # B T D
            logits = model.lm_head(hidden[scored])  # B V
        return torch.nn.functional.cross_entropy(logits[:, list(word_ids)], labels).item()
