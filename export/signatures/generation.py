"""The signatures that generate: `prefill_T` and `decode`, and the cache that they share.

The cache is a variable for the keys and one for the values of every layer. It takes memory from
`cache_initialize` on, and none in a run that generates nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from pocketllm.runtime import contract

from ..flatbuffer.constants import Constant
from ..flatbuffer.convert import ConvertedFunction, Input, convert
from ..flatbuffer.variables import Variable, chunks_of
from ..graph.cache import Cache
from ..graph.parameters import Parameter
from ..graph.weights_view import WeightsView
from ..models import architecture_of
from .forward import graph_weights

# Prefix of an input that is the token's row of a table.
ROW = "row"


def cache_of(config, context: int) -> dict[str, Variable]:
    """Returns {name of keys or values: variable [1, G, context, K]} of the cache."""
    variables = {}
    for name, width in architecture_of(config).key_value_layers(config).items():
        heads = width // config.head_dim
        shape = (1, heads, context, config.head_dim)
        parameter = Parameter(f"cache/{name}", shape, "vector", False)
        variables[name] = Variable(parameter.name, shape, parameter, None, -1)
    return variables


def generation(
    config,
    weights: Sequence[Variable | Constant],
    cache: Mapping[str, Variable],
    *,
    tied: bool,
    tokens: int,
    view: Callable[..., WeightsView],
) -> ConvertedFunction:
    """Converts `prefill_T` for T tokens, or `decode` for one.

    Args:
      config: the architecture.
      weights: the trained and the frozen parameters.
      cache: from `cache_of`.
      tied: whether the LM head is the word embeddings.
      tokens: T.
      view: what the model reads its weights through.
    """
    architecture = architecture_of(config)
    model = graph_weights(config, weights, tied, True, view)
    inputs = {
        contract.INPUT_IDS: Input((1, tokens), tf.int32),
        contract.POSITION: Input((1,), tf.int32),
    }
    if tokens > 1:
        inputs[contract.TOKENS] = Input((1,), tf.int32)
    of_cache = {variable.name: variable for variable in cache.values()}

    rows = _trained_rows(config, weights) if tokens == 1 else {}

    def graph(tensors):
        viewed = model.view(tensors)
        viewed.rows = {name: tensors[f"{ROW}/{name}"] for name in rows}
        viewed.cache = _cache(tensors, cache, tokens)
        logits = architecture.next_logits(config, tensors, viewed)
        updated = {f"o{number}": viewed.cache.updated[name] for number, name in enumerate(cache)}
        return {contract.LOGITS: logits} | updated

    inputs |= {f"{ROW}/{name}": Input((1, v[0].shape[1]), tf.float32) for name, v in rows.items()}
    inputs |= model.inputs | {name: Input(v.shape, tf.float32) for name, v in of_cache.items()}
    return ConvertedFunction(
        signature=contract.prefill_for(tokens),
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables=model.variables | of_cache,
        constants=model.constants,
        assigned={f"o{number}": variable for number, variable in enumerate(cache.values())},
        rows={f"{ROW}/{name}": chunks for name, chunks in rows.items()},
    )


def _trained_rows(config, weights):
    """Returns {word embeddings: chunks} where they are trained, and of several chunks.

    A row of a frozen table is read from the file, a table of one chunk is small.
    """
    name = architecture_of(config).head.word_embeddings
    chunks = tuple(w for w in chunks_of(weights, name) if isinstance(w, Variable))
    return {name: chunks} if len(chunks) > 1 else {}


def _cache(tensors, cache, tokens):
    context = next(iter(cache.values())).shape[2]
    places = tensors[contract.POSITION] + tf.range(tokens)  # T
    if tokens > 1:
        # Padding is written nowhere.
        counted = tf.range(tokens) < tensors[contract.TOKENS]
        places = tf.where(counted, places, context)
    columns = tf.transpose(tf.one_hot(places, context))  # C T
    return Cache({name: tensors[v.name] for name, v in cache.items()}, columns)
