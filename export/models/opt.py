"""OPT: config, parameters, and the causal-LM loss, top to bottom.

Shapes: S sequences, T tokens, D hidden, E width of the word embeddings, Q rows of a sequence that
are scored. Names are the checkpoint's.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from pocketllm.runtime import contract

from ..checkpoint.config import check_activation, check_heads, read_fields
from ..checkpoint.tensor_names import TensorNames
from ..checkpoint.tokenizer import FAIRSEQ_TOKENS
from ..families.architecture import Architecture
from ..graph import causal
from ..graph import lazy_tensorflow as tf
from ..graph import parameters as of
from ..graph.activations import ACTIVATION_FUNCTIONS
from ..graph.attention import self_attention
from ..graph.flops import layers_flops, plain_layer
from ..graph.layers import select
from ..graph.parameters import HeadNames, Parameter
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView

DECODER = "model.decoder"
WORD_EMBEDDINGS = f"{DECODER}.embed_tokens.weight"
POSITIONS = f"{DECODER}.embed_positions.weight"
LM_HEAD = "lm_head.weight"
# Positions of padding and of the first token; rows 0 of the table are never read.
PADDING_POSITION, FIRST_POSITION = 1, 2
LAYER_NORM_EPS = 1e-5  # torch.nn.LayerNorm's own
NAMES = TensorNames(
    base="model.", landmark="decoder.embed_positions.weight", head=("lm_head",), old_endings={}
)
# OPTConfig's own, for what a config.json leaves out; word_embed_proj_dim is then hidden_size.
DEFAULTS = {
    "vocab_size": 50272,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "ffn_dim": 3072,
    "max_position_embeddings": 2048,
    "do_layer_norm_before": True,
    "_remove_final_layer_norm": False,
    "enable_bias": True,
    "layer_norm_elementwise_affine": True,
    "tie_word_embeddings": True,
    "activation_function": "relu",
    "pad_token_id": 1,
}


@dataclass(frozen=True)
class OptConfig:
    """Values of config.json that the graph depends on; names are Hugging Face's."""

    model_type: ClassVar[str] = "opt"

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    ffn_dim: int
    activation_function: str
    max_position_embeddings: int
    word_embed_proj_dim: int
    do_layer_norm_before: bool
    _remove_final_layer_norm: bool
    enable_bias: bool
    layer_norm_elementwise_affine: bool
    tie_word_embeddings: bool
    pad_token_id: int

    @property
    def max_tokens(self) -> int:
        """Longest row."""
        return self.max_position_embeddings

    @property
    def head_dim(self) -> int:
        """K, width of a head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def has_projections(self) -> bool:
        """Whether word embeddings are narrower (or wider) than the layers, as in opt-350m."""
        return self.word_embed_proj_dim != self.hidden_size

    @property
    def has_final_layer_norm(self) -> bool:
        """Whether a layer norm follows the last layer."""
        return self.do_layer_norm_before and not self._remove_final_layer_norm


def read_config(values: dict, source: str) -> OptConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    width, pad = values.get("hidden_size"), values.get("pad_token_id")
    if type(pad) is int and pad < 0:  # it means none, and changes nothing in the graph
        values = values | {"pad_token_id": None}
    defaults = DEFAULTS | {
        "word_embed_proj_dim": DEFAULTS["hidden_size"] if width is None else width
    }
    config = read_fields(OptConfig, values, defaults, source)
    check_activation(source, "activation_function", config.activation_function)
    check_heads(source, config.hidden_size, config.num_attention_heads)
    return config


def parameters(config: OptConfig, tied: bool) -> list[Parameter]:
    """Lists the parameters of the causal-LM loss in the checkpoint's order.

    Args:
      config: the architecture.
      tied: whether the LM head is the word embeddings, as published; otherwise it is a table of
        its own.
    """
    hidden, inner, width = config.hidden_size, config.ffn_dim, config.word_embed_proj_dim

    def linear(name, fan_in, fan_out):
        return of.linear(name, fan_in, fan_out, config.enable_bias)

    def norm(name):
        return of.layer_norm(name, hidden) if config.layer_norm_elementwise_affine else []

    listed = [
        of.table(WORD_EMBEDDINGS, config.vocab_size, width),
        of.table(POSITIONS, config.max_position_embeddings + FIRST_POSITION, hidden),
    ]
    if config.has_projections:
        listed += of.linear(f"{DECODER}.project_out", hidden, width, bias=False)
        listed += of.linear(f"{DECODER}.project_in", width, hidden, bias=False)
    if config.has_final_layer_norm:
        listed += norm(f"{DECODER}.final_layer_norm")
    for index in range(config.num_hidden_layers):
        layer = f"{DECODER}.layers.{index}"
        for projection in ("k_proj", "v_proj", "q_proj", "out_proj"):
            listed += linear(f"{layer}.self_attn.{projection}", hidden, hidden)
        listed += norm(f"{layer}.self_attn_layer_norm")
        listed += linear(f"{layer}.fc1", hidden, inner) + linear(f"{layer}.fc2", inner, hidden)
        listed += norm(f"{layer}.final_layer_norm")
    return listed if tied else [*listed, of.table(LM_HEAD, config.vocab_size, width)]


def key_value_layers(config: OptConfig) -> dict[str, int]:
    """Returns {the key's and value's projection of every layer: its width}."""
    return {
        f"{DECODER}.layers.{index}.self_attn.{which}": config.hidden_size
        for index in range(config.num_hidden_layers)
        for which in ("k_proj", "v_proj")
    }


def forward_loss(config: OptConfig, target: Target, inputs: dict, weights: WeightsView) -> dict:
    """Computes the loss and the scores of the label words or options.

    Args:
      config: the architecture.
      target: what is scored.
      inputs: the signature's, [S, T], [S] and [B], by name.
      weights: of the model.

    Returns:
      {loss [1], weight_sum [1], logits [B, C]}.
    """
    ids, mask = inputs[contract.INPUT_IDS], inputs[contract.ATTENTION_MASK]
    sequences, tokens = ids.shape

    # Everything outside the delegate comes first: look-ups and integer operations.
    embedded, words = weights.embed(tf.reshape(ids, [-1]), target.word_ids)
    embedded = tf.expand_dims(embedded, 0)  # 1 S*T E
    positions = tf.reshape(tf.cumsum(mask, 1) * mask + PADDING_POSITION, [-1])
    positions = tf.expand_dims(weights.lookup(POSITIONS, positions), 0)  # 1 S*T D
    scored = causal.scored_rows(target, inputs, tokens)  # S Q
    biases = [
        weights.attendable(causal.attention_bias(tf.range(first, last)[None], mask, last))
        for first, last in causal.attention_blocks(tokens)
    ]
    if scored is not None:
        selector = tf.one_hot(scored, tokens)  # S Q T
        scored_bias = weights.attendable(causal.attention_bias(scored, mask, tokens))

    chosen = None if scored is None else (selector, [scored_bias])
    x = _through_layers(
        config, weights, (embedded, positions), biases, chosen=chosen, sequences=sequences
    )
    return causal.scored_loss(
        target, inputs, weights, x, scored=scored, embedded=embedded, words=words
    )


def next_logits(config: OptConfig, inputs: dict, weights: WeightsView):
    """Computes the logits [1, V] of the token behind those that come in, which join the cache.

    Args:
      config: the architecture.
      inputs: input_ids [1, T], position [1], tokens [1].
      weights: with a cache of C positions.
    """
    ids, context = inputs[contract.INPUT_IDS], weights.cache.context
    tokens = ids.shape[1]
    embedded, _ = weights.embed(tf.reshape(ids, [-1]), ())
    rows = inputs[contract.POSITION] + tf.range(tokens)  # T
    within = tf.minimum(rows, context - 1)  # padding may stand behind the last position
    positions = weights.lookup(POSITIONS, within + FIRST_POSITION)
    biases = [weights.attendable(causal.bias_at(rows, context))]
    chosen = None
    if tokens > 1:
        selector = tf.one_hot(inputs[contract.TOKENS] - 1, tokens)[None]  # 1 1 T
        last = tf.gather(rows, inputs[contract.TOKENS] - 1)
        chosen = selector, [weights.attendable(causal.bias_at(last, context))]
    both = tf.expand_dims(embedded, 0), tf.expand_dims(positions, 0)  # 1 T E, 1 T D
    x = _through_layers(config, weights, both, biases, chosen=chosen, sequences=1)
    return causal.all_logits(x, weights.head)


def _through_layers(config, weights, embeddings, biases, *, chosen, sequences):
    """Returns the rows that leave the model, [1, S * Q, E]: of the last layer the chosen ones."""
    x, positions = embeddings
    if config.has_projections:
        x = weights.linear(f"{DECODER}.project_in", x)
    x = x + positions
    for index in range(config.num_hidden_layers):
        leaving = chosen if index == config.num_hidden_layers - 1 else None
        selector, seen = leaving or (None, biases)
        forward = partial(
            _decoder_layer, config, index, weights,
            biases=seen, sequences=sequences, selector=selector,
        )  # fmt: skip
        x = weights.layer(forward, x)
    if config.has_final_layer_norm:
        x = weights.layer_norm(f"{DECODER}.final_layer_norm", x, LAYER_NORM_EPS)
    if config.has_projections:
        x = weights.linear(f"{DECODER}.project_out", x)  # 1 S*Q E
    return x


def _decoder_layer(config, index, weights, x, *, biases, sequences, selector):
    """One layer for x [1, S * T, D], or the rows of it that `selector` [S, Q, T] picks."""
    name = f"{DECODER}.layers.{index}"
    rows = x if selector is None else select(selector, x)
    before, activation = config.do_layer_norm_before, config.activation_function

    def norm(which, y, applied):
        return weights.layer_norm(f"{name}.{which}", y, LAYER_NORM_EPS) if applied else y

    seen = norm("self_attn_layer_norm", x, before)
    attending = seen if rows is x else norm("self_attn_layer_norm", rows, before)
    projections = [f"{name}.self_attn.{which}" for which in ("q_proj", "k_proj", "v_proj")]
    attended = self_attention(
        attending, seen, biases, weights, projections,
        batch=sequences, heads=config.num_attention_heads,
    )  # fmt: skip
    rows = rows + weights.linear(f"{name}.self_attn.out_proj", attended)
    rows = norm("self_attn_layer_norm", rows, not before)
    inner = norm("final_layer_norm", rows, before)
    activated = ACTIVATION_FUNCTIONS[activation]
    rows = rows + weights.two_linears(f"{name}.fc1", activated, f"{name}.fc2", inner)
    return norm("final_layer_norm", rows, not before)


def forward_flops(config: OptConfig, tokens: int, rows: int, words: int) -> int:
    """Counts the operations of one example: the layers, and a head of 2 E C a scored row.

    Where E is not D, 2 T E D (project_in) and 2 D E a scored row (project_out) are added.
    """
    hidden, width, layers = config.hidden_size, config.word_embed_proj_dim, config.num_hidden_layers
    whole = layers_flops(tokens, plain_layer(hidden, config.ffn_dim), layers, rows)
    projections = 2 * (tokens + rows) * width * hidden if config.has_projections else 0
    return whole + projections + rows * 2 * width * words


ARCHITECTURE = Architecture(
    model_type=OptConfig.model_type,
    style=contract.CAUSAL,
    hf_class="OPTForCausalLM",
    special_tokens=FAIRSEQ_TOKENS,
    config=OptConfig,
    read_config=read_config,
    parameters=parameters,
    names=NAMES,
    head=HeadNames(WORD_EMBEDDINGS, LM_HEAD, None),
    lora_targets=("q_proj", "v_proj"),
    key_value_layers=key_value_layers,
    prefix_moves_positions=False,
    forward_loss=forward_loss,
    next_logits=next_logits,
    forward_flops=forward_flops,
)
