"""Head tuning: the label words' rows of the LM head, and their biases, are trained.

They are parameters of their own, [C, D] and [C], which start as the head's. Of a tied head the
embeddings of the same words, at the bottom of the model, stay as they are.
"""

from collections.abc import Callable

import numpy as np

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from ..models import FAMILIES, family_name, head_table
from ..models.layers import WORDS_BIAS, WORDS_WEIGHT
from ..models.parameters import Parameter
from ..models.scoring import Target
from ..models.weights import Weights


def word_head_parameters(
    weights: Weights, config, target: Target
) -> dict[Parameter, Callable[[], np.ndarray]]:
    """Returns {the words' weight, and bias where there is one: function of its initial values}.

    Raises:
      InputError: the task's options are not one token each.
    """
    if target.scoring != contract.WORDS:
        raise InputError(
            "--tune=head trains the label words' rows of the LM head, and this task's options are "
            "not one token each; take --tune=lora or prefix"
        )
    ids = list(target.word_ids)
    sources = {p.name: p for p in weights.parameters}
    table = sources[head_table(config, weights.tied)]
    weight = Parameter(WORDS_WEIGHT, (len(ids), table.shape[1]), "vector", True)
    found = {weight: lambda: weights.read(table)[ids]}
    bias = sources.get(FAMILIES[family_name(config)].LM_HEAD_BIAS)
    if bias:
        held = Parameter(WORDS_BIAS, (len(ids),), "vector", False)
        found[held] = lambda: weights.read(bias)[ids]
    return found
