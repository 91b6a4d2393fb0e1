"""Head tuning: the label words' rows of the LM head, and their biases, are trained.

They are parameters of their own, [C, D] and [C], which start as the head's. Of a tied head the
embeddings of the same words, at the bottom of the model, stay as they are.
"""

from collections.abc import Callable

import numpy as np

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from ..graph.parameters import Parameter
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView
from ..models import ModelConfig, architecture_of
from ..weights.weights import Weights

# Names in a bundle, of every architecture: no checkpoint has these parameters.
WORDS_WEIGHT, WORDS_BIAS = "lm_head.words.weight", "lm_head.words.bias"


class WordHeadView(WeightsView):
    """Weights with rows and biases of their own for the label words."""

    def word_rows(self, words):
        """Returns the label words' own rows [C, E]."""
        return self.tensors[WORDS_WEIGHT]

    def word_bias(self, words):
        """Returns the label words' own biases [C]."""
        return self.tensors[WORDS_BIAS]


def word_head_parameters(
    weights: Weights, config: ModelConfig, target: Target
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
    ids, head = list(target.word_ids), architecture_of(config).head
    sources = {p.name: p for p in weights.parameters}
    table = sources[head.table(weights.tied)]
    weight = Parameter(WORDS_WEIGHT, (len(ids), table.shape[1]), "vector", True)
    initial = {weight: lambda: weights.read(table)[ids]}
    if head.bias in sources:
        source, bias = sources[head.bias], Parameter(WORDS_BIAS, (len(ids),), "vector", False)
        initial[bias] = lambda: weights.read(source)[ids]
    return initial
