"""RoBERTa: config, parameters, and the masked-LM loss, top to bottom.

Shapes: B batch, T tokens, D hidden, C label words, V vocabulary. Names are the checkpoint's.
"""

from dataclasses import dataclass
from typing import ClassVar

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from ..checkpoint.config import check_activation, check_heads, read_fields
from ..checkpoint.tensor_names import TensorNames
from ..checkpoint.tokenizer import FAIRSEQ_TOKENS
from ..families.architecture import Architecture
from ..graph import lazy_tensorflow as tf
from ..graph import parameters as of
from ..graph.activations import ACTIVATION_FUNCTIONS, gelu
from ..graph.attention import IGNORED_SCORE, self_attention
from ..graph.flops import layers_flops, plain_layer
from ..graph.layers import select, weighted_cross_entropy, word_logits
from ..graph.parameters import HeadNames, Parameter
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView

EMBEDDINGS = "roberta.embeddings"
WORD_EMBEDDINGS = f"{EMBEDDINGS}.word_embeddings.weight"
POSITIONS = f"{EMBEDDINGS}.position_embeddings.weight"
TOKEN_TYPES = f"{EMBEDDINGS}.token_type_embeddings.weight"
LM_HEAD, LM_HEAD_BIAS = "lm_head.decoder.weight", "lm_head.bias"
# transformers saves the head's bias under this name too; an untied decoder has its own there.
DECODER_BIAS = "lm_head.decoder.bias"
NAMES = TensorNames(
    base="roberta.",
    landmark="embeddings.position_embeddings.weight",
    head="lm_head",
    # TensorFlow's, in checkpoints that were converted before PyTorch had LayerNorm.
    old_endings={".gamma": ".weight", ".beta": ".bias"},
    second={LM_HEAD_BIAS: DECODER_BIAS},
)
# RobertaConfig's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 50265,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 1,
    "tie_word_embeddings": True,
}
# Of keys that would change the graph.
REQUIRED_VALUES = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "pruned_heads": None,
}


@dataclass(frozen=True)
class RobertaConfig:
    """Values of config.json that the graph depends on; names are Hugging Face's."""

    model_type: ClassVar[str] = "roberta"

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    pad_token_id: int
    tie_word_embeddings: bool

    @property
    def max_tokens(self) -> int:
        """Longest row: positions start after the padding index."""
        return self.max_position_embeddings - self.pad_token_id - 1


def read_config(values: dict, source: str) -> RobertaConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    pad = values.get("pad_token_id")
    if type(pad) is int and pad < 0:
        raise InputError(
            f"{source}: pad_token_id is {pad}, expected 0 or more: positions of a row count on "
            "from it, so that padding would have none; write the id that the model was trained with"
        )
    config = read_fields(RobertaConfig, values, DEFAULTS, source, REQUIRED_VALUES)
    check_activation(source, "hidden_act", config.hidden_act)
    check_heads(source, config.hidden_size, config.num_attention_heads)
    if config.max_tokens < 1:
        raise InputError(
            f"{source}: max_position_embeddings {config.max_position_embeddings} leaves no room "
            f"after pad_token_id {config.pad_token_id}"
        )
    return config


def parameters(config: RobertaConfig, tied: bool) -> list[Parameter]:
    """Lists the parameters of the masked-LM loss in the checkpoint's order.

    Args:
      config: the architecture.
      tied: whether the LM head's decoder is the word embeddings, as published; otherwise it is a
        table of its own.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    listed = [
        of.table(WORD_EMBEDDINGS, config.vocab_size, hidden),
        of.table(POSITIONS, config.max_position_embeddings, hidden),
        of.table(TOKEN_TYPES, config.type_vocab_size, hidden),
        *of.layer_norm(f"{EMBEDDINGS}.LayerNorm", hidden),
    ]
    for index in range(config.num_hidden_layers):
        layer = f"roberta.encoder.layer.{index}"
        for projection in ("query", "key", "value"):
            listed += of.linear(f"{layer}.attention.self.{projection}", hidden, hidden)
        listed += of.linear(f"{layer}.attention.output.dense", hidden, hidden)
        listed += of.layer_norm(f"{layer}.attention.output.LayerNorm", hidden)
        listed += of.linear(f"{layer}.intermediate.dense", hidden, inner)
        listed += of.linear(f"{layer}.output.dense", inner, hidden)
        listed += of.layer_norm(f"{layer}.output.LayerNorm", hidden)
    listed += of.linear("lm_head.dense", hidden, hidden)
    listed += of.layer_norm("lm_head.layer_norm", hidden)
    listed.append(Parameter(LM_HEAD_BIAS, (config.vocab_size,), "vector", False))
    return listed if tied else [*listed, of.table(LM_HEAD, config.vocab_size, hidden)]


def key_value_layers(config: RobertaConfig) -> list[str]:
    """Names the key's and value's projection of every layer."""
    return [
        f"roberta.encoder.layer.{index}.attention.self.{which}"
        for index in range(config.num_hidden_layers)
        for which in ("key", "value")
    ]


def forward_loss(config: RobertaConfig, target: Target, inputs: dict, weights: WeightsView) -> dict:
    """Computes the loss and the logits of the label words at the mask.

    Args:
      config: the architecture.
      target: C label words.
      inputs: the signature's, [B, T] and [B], by name.
      weights: of the model.

    Returns:
      {loss [1], weight_sum [1], logits [B, C]}.
    """
    ids, mask = inputs[contract.INPUT_IDS], inputs[contract.ATTENTION_MASK]
    batch, tokens = ids.shape
    eps = config.layer_norm_eps

    # Everything outside the delegate comes first: look-ups and integer operations.
    x, words = weights.embed(tf.reshape(ids, [-1]), target.word_ids)  # B*T D
    decoder, decoder_bias = weights.word_rows(words), weights.word_bias(words)  # C D, C
    # Padding stands at pad_token_id, tokens count on from there; a text's own pad token is attended
    # to, but stands there too: transformers takes positions from the ids.
    counted = mask * tf.cast(tf.not_equal(ids, config.pad_token_id), tf.int32)
    positions = tf.reshape(tf.cumsum(counted, 1) * counted + config.pad_token_id, [-1])
    x = x + weights.lookup(POSITIONS, positions)
    token_type = weights.first_row(TOKEN_TYPES)
    bias = (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * IGNORED_SCORE  # B 1 1 T
    bias = weights.attendable(bias)
    selector = tf.one_hot(inputs[contract.MASK_POSITION], tokens)[:, None, :]  # B 1 T

    x = tf.expand_dims(x + token_type, 0)
    x = weights.layer_norm(f"{EMBEDDINGS}.LayerNorm", x, eps)  # 1 B*T D
    for index in range(config.num_hidden_layers):
        # Only the mask's row leaves the last layer.
        last = index == config.num_hidden_layers - 1
        rows = select(selector, x) if last else x
        x = _encoder_layer(config, index, weights, rows, x, bias=bias, batch=batch)

    x = gelu(weights.linear("lm_head.dense", x))
    x = weights.layer_norm("lm_head.layer_norm", x, eps)  # 1 B D
    # The bias first: bind schedules in this order, and a look-up in between would cut a partition.
    logits = decoder_bias + word_logits(x, decoder)  # B C
    loss, weight_sum = weighted_cross_entropy(
        logits, inputs[contract.LABEL], inputs[contract.WEIGHT]
    )
    return {contract.LOSS: loss, contract.WEIGHT_SUM: weight_sum, contract.LOGITS: logits}


def _encoder_layer(config, index, weights, rows, x, *, bias, batch):
    """One post-norm layer for `rows` [1, B * Q, D], attending to x [1, B * T, D]."""
    name = f"roberta.encoder.layer.{index}"
    eps, activation = config.layer_norm_eps, ACTIVATION_FUNCTIONS[config.hidden_act]
    projections = [f"{name}.attention.self.{which}" for which in ("query", "key", "value")]
    attended = self_attention(
        rows, x, [bias], weights, projections, batch=batch, heads=config.num_attention_heads
    )
    projected = weights.linear(f"{name}.attention.output.dense", attended)
    rows = weights.layer_norm(f"{name}.attention.output.LayerNorm", rows + projected, eps)
    inner = activation(weights.linear(f"{name}.intermediate.dense", rows))
    out = weights.linear(f"{name}.output.dense", inner)
    return weights.layer_norm(f"{name}.output.LayerNorm", rows + out, eps)


def forward_flops(config: RobertaConfig, tokens: int, words: int) -> int:
    """Counts the operations of one example: the layers, and a head of 2 D² + 2 D C."""
    hidden = config.hidden_size
    layers = layers_flops(
        tokens, plain_layer(hidden, config.intermediate_size), config.num_hidden_layers
    )
    return layers + 2 * hidden**2 + 2 * hidden * words


ARCHITECTURE = Architecture(
    model_type=RobertaConfig.model_type,
    style=contract.MASKED,
    hf_class="RobertaForMaskedLM",
    special_tokens=FAIRSEQ_TOKENS,
    config=RobertaConfig,
    read_config=read_config,
    parameters=parameters,
    names=NAMES,
    head=HeadNames(WORD_EMBEDDINGS, LM_HEAD, LM_HEAD_BIAS),
    lora_targets=("query", "value"),
    key_value_layers=key_value_layers,
    prefix_moves_positions=False,
    forward_loss=forward_loss,
    forward_flops=forward_flops,
)
