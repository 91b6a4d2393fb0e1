"""ModernBERT: norms in front, rotary positions, local windows, fused projections; top to bottom.

Shapes: B batch, T tokens, D hidden, H heads, K = D // H, Q rows of a sequence that attend, P tokens
of a prefix. Names are the checkpoint's.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from ..checkpoint.config import check_activation, check_heads, read_fields
from ..checkpoint.rope import DEFAULT, FULL, LAYER_TYPES, SLIDING, Rope, rope_of_layers
from ..checkpoint.tensor_names import TensorNames
from ..checkpoint.tokenizer import BERT_TOKENS
from ..families.architecture import Architecture
from ..families.attendance import Attendance
from ..graph import causal, masked
from ..graph import lazy_tensorflow as tf
from ..graph import parameters as of
from ..graph.activations import ACTIVATION_FUNCTIONS
from ..graph.attention import attend
from ..graph.flops import Layer, layers_flops
from ..graph.layers import select, split_heads
from ..graph.parameters import HeadNames, Parameter
from ..graph.rotary import Rotation, rotary_tables, rotate
from ..graph.scoring import Target
from ..graph.weights_view import WeightsView

WORD_EMBEDDINGS = "model.embeddings.tok_embeddings.weight"
DECODER, DECODER_BIAS = "decoder.weight", "decoder.bias"
NAMES = TensorNames(
    base="model.", landmark="embeddings.tok_embeddings.weight", old_endings={},
    head=("head", "decoder"),
)  # fmt: skip
# ModernBertConfig's own, for what a config.json leaves out.
DEFAULTS = {
    "vocab_size": 50368,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "hidden_activation": "gelu",
    "max_position_embeddings": 8192,
    "norm_eps": 1e-5,
    "norm_bias": False,
    "attention_bias": False,
    "mlp_bias": False,
    "decoder_bias": True,
    "classifier_bias": False,
    "classifier_activation": "gelu",
    "local_attention": 128,
    "tie_word_embeddings": True,
}
OWN_DEFAULTS = DEFAULTS | {"global_attn_every_n_layers": 3, "global_rope_theta": 160_000.0}
LOCAL_THETA = 10_000.0


@dataclass(frozen=True)
class ModernBertConfig:
    """Values of config.json that the graph depends on; names are Hugging Face's.

    Attributes:
      layer_types: of every layer, one of LAYER_TYPES.
      rope_parameters: layer type -> its rope.
    """

    model_type: ClassVar[str] = "modernbert"

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_activation: str
    max_position_embeddings: int
    norm_eps: float
    norm_bias: bool
    attention_bias: bool
    mlp_bias: bool
    decoder_bias: bool
    classifier_bias: bool
    classifier_activation: str
    local_attention: int
    tie_word_embeddings: bool
    layer_types: tuple[str, ...]
    rope_parameters: dict[str, Rope]

    @property
    def max_tokens(self) -> int:
        """Longest row."""
        return self.max_position_embeddings

    def reach(self, kind: str) -> int | None:
        """Returns the tokens on each side that a row of a layer type sees; None for all."""
        return self.local_attention // 2 if kind == SLIDING else None


@dataclass(frozen=True)
class _Spelled:
    """What transformers 4 and 5 say of layers and rope, each in words of its own."""

    num_hidden_layers: int
    max_position_embeddings: int
    global_attn_every_n_layers: int
    global_rope_theta: float
    local_rope_theta: float | None = LOCAL_THETA
    layer_types: tuple[str, ...] = ()
    rope_parameters: dict[str, dict | None] | None = None
    rope_scaling: dict | None = None


def read_config(values: dict, source: str) -> ModernBertConfig:
    """Reads a parsed config.json; `source` is its path.

    Raises:
      InputError: a value that is not implemented, or of another type.
    """
    spelled = read_fields(_Spelled, values, OWN_DEFAULTS, source)
    every, layers = spelled.global_attn_every_n_layers, spelled.num_hidden_layers
    usual = [SLIDING if index % every else FULL for index in range(layers)]
    kinds = list(spelled.layer_types) or usual
    if len(kinds) < layers or set(kinds) - set(LAYER_TYPES):
        raise InputError(
            f"{source}: layer_types is {repr(kinds)[:80]}, expected one of "
            f"{', '.join(LAYER_TYPES)} for each of {layers} layers"
        )
    # version 4's null means the other layers' base; version 5 has no use for it
    null = "local_rope_theta" in values and values["local_rope_theta"] is None
    local = spelled.global_rope_theta if null else spelled.local_rope_theta
    thetas = {FULL: spelled.global_rope_theta, SLIDING: local}
    settings = {kind: (spelled.rope_parameters or {}).get(kind) for kind in LAYER_TYPES}
    ropes = {
        kind: rope_of_layers(
            (settings[kind] or {"rope_type": DEFAULT}) | (spelled.rope_scaling or {}),
            thetas[kind],
            spelled.max_position_embeddings,
            source,
        )
        for kind in LAYER_TYPES
    }
    fixed = {"layer_types": kinds[:layers], "rope_parameters": {}}
    config = read_fields(ModernBertConfig, values | fixed, DEFAULTS, source)
    check_activation(source, "hidden_activation", config.hidden_activation)
    check_activation(source, "classifier_activation", config.classifier_activation)
    check_heads(source, config.hidden_size, config.num_attention_heads)
    if config.hidden_size // config.num_attention_heads % 2:
        raise InputError(
            f"{source}: hidden_size {config.hidden_size} makes heads of an odd width, expected "
            "pairs that rotate together"
        )
    return replace(config, rope_parameters=ropes)


def parameters(config: ModernBertConfig, tied: bool) -> list[Parameter]:
    """Lists the parameters of the masked-LM loss; a tied LM head has no table of its own."""
    hidden, inner = config.hidden_size, config.intermediate_size

    def norm(name):
        return of.layer_norm(name, hidden, config.norm_bias)

    listed = [of.table(WORD_EMBEDDINGS, config.vocab_size, hidden), *norm("model.embeddings.norm")]
    for index in range(config.num_hidden_layers):
        layer = f"model.layers.{index}"
        listed += norm(f"{layer}.attn_norm") if index else []
        listed += of.linear(f"{layer}.attn.Wqkv", hidden, 3 * hidden, config.attention_bias)
        listed += of.linear(f"{layer}.attn.Wo", hidden, hidden, config.attention_bias)
        listed += norm(f"{layer}.mlp_norm")
        listed += of.linear(f"{layer}.mlp.Wi", hidden, 2 * inner, config.mlp_bias)
        listed += of.linear(f"{layer}.mlp.Wo", inner, hidden, config.mlp_bias)
    listed += norm("model.final_norm")
    listed += of.linear("head.dense", hidden, hidden, config.classifier_bias)
    listed += norm("head.norm")
    if config.decoder_bias:
        listed.append(Parameter(DECODER_BIAS, (config.vocab_size,), "vector", False))
    return listed if tied else [*listed, of.table(DECODER, config.vocab_size, hidden)]


def key_value_layers(config: ModernBertConfig) -> dict[str, int]:
    """Returns {keys or values of every layer: their width}; both come out of one matrix."""
    return {
        f"model.layers.{index}.attn.{which}": config.hidden_size
        for index in range(config.num_hidden_layers)
        for which in ("key", "value")
    }


def forward_loss(
    config: ModernBertConfig, target: Target, inputs: dict, weights: WeightsView
) -> dict:
    """Computes the loss and the logits of the label words at the mask.

    Returns:
      {loss [1], weight_sum [1], logits [B, C]}.
    """
    ids, mask = inputs[contract.INPUT_IDS], inputs[contract.ATTENTION_MASK]
    # Everything outside the delegate comes first: look-ups and integer operations.
    x, words = weights.embed(tf.reshape(ids, [-1]), target.word_ids)  # B*T D
    decoder = weights.word_rows(words)  # C D
    decoder_bias = weights.word_bias(words) if config.decoder_bias else None  # C
    selector = masked.mask_selector(inputs)  # B 1 T
    kinds = dict.fromkeys(config.layer_types)
    all_rows = {kind: _of_all_rows(config, kind, mask, weights) for kind in kinds}
    mask_rows = {kind: _of_mask_rows(config, kind, mask, weights, selector) for kind in kinds}

    x = weights.layer_norm("model.embeddings.norm", tf.expand_dims(x, 0), config.norm_eps)
    for index, kind in enumerate(config.layer_types):  # only the mask's row leaves the last one
        chosen = (selector, mask_rows[kind]) if index == len(config.layer_types) - 1 else None
        rows = {"batch": ids.shape[0], "all_rows": all_rows[kind], "chosen": chosen}
        x = weights.layer(partial(_layer, config, index, weights, **rows), x)
    x = weights.layer_norm("model.final_norm", x, config.norm_eps)
    x = ACTIVATION_FUNCTIONS[config.classifier_activation](weights.linear("head.dense", x))
    x = weights.layer_norm("head.norm", x, config.norm_eps)  # 1 B D
    return masked.words_loss(inputs, x, decoder, decoder_bias)


def _rotation(config, kind, tokens):
    width = config.hidden_size // config.num_attention_heads
    return Rotation(
        *map(tf.constant, rotary_tables(config.rope_parameters[kind], 0, tokens, width))
    )


def _of_all_rows(config, kind, mask, weights) -> Attendance:
    """Returns what all rows see, in blocks of rows; a prefix is seen by all."""
    tokens, padding, biases = mask.shape[1], masked.padding_bias(mask), []
    for block in causal.attention_blocks(tokens):
        seen = masked.window_bias(range(*block), tokens, config.reach(kind))  # q T
        biases.append(weights.attendable(tf.constant(seen)[None, None] + padding))  # B 1 q P+T
    return Attendance(biases, _rotation(config, kind, tokens))


def _of_mask_rows(config, kind, mask, weights, selector) -> Attendance:
    """Returns what the mask's rows see, which `selector` [B, 1, T] picks of all rows' constants."""
    tokens, picks = mask.shape[1], tf.reshape(selector, [1, -1, mask.shape[1]])

    def picked(table):  # T N -> B 1 1 N
        return tf.reshape(tf.matmul(picks, table[None]), [selector.shape[0], 1, 1, table.shape[1]])

    seen = picked(tf.constant(masked.window_bias(range(tokens), tokens, config.reach(kind))))
    bias = weights.attendable(seen + masked.padding_bias(mask))
    return Attendance([bias], Rotation(*map(picked, _rotation(config, kind, tokens))))


def _layer(config, index, weights, x, *, batch, all_rows: Attendance, chosen):
    """One pre-norm layer for x [1, B * T, D]; with `chosen`, (selector, Attendance), its rows."""
    name, eps, heads = f"model.layers.{index}", config.norm_eps, config.num_attention_heads
    attention, attending = f"{name}.attn", all_rows
    seen = weights.layer_norm(f"{name}.attn_norm", x, eps) if index else x
    query, key, value = tf.split(weights.linear(f"{attention}.Wqkv", seen), 3, -1)  # 1 B*T D
    if chosen:
        selector, attending = chosen
        x, query = select(selector, x), select(selector, query)
    query = rotate(split_heads(query, batch, heads), attending.rotation)  # B H Q K
    key = rotate(split_heads(key, batch, heads), all_rows.rotation)
    key = weights.with_prefix(f"{attention}.key", key)  # B H P+T K
    value = weights.with_prefix(f"{attention}.value", split_heads(value, batch, heads))
    mixed = attend(query, key, value, attending.biases, query.shape[-1] ** -0.5)
    x = x + weights.linear(f"{attention}.Wo", mixed)
    normal = weights.layer_norm(f"{name}.mlp_norm", x, eps)
    return x + weights.feed_forward(partial(_gated, config, weights, f"{name}.mlp"), normal)


def _gated(config, weights, name, x):
    passed, gate = tf.split(weights.linear(f"{name}.Wi", x), 2, -1)
    activation = ACTIVATION_FUNCTIONS[config.hidden_activation]
    return weights.linear(f"{name}.Wo", activation(passed) * gate)


def forward_flops(config: ModernBertConfig, tokens: int, rows: int, words: int) -> int:
    """Counts the operations of one example: the layers, and a head of 2 D² + 2 D C a scored row.

    The last layer computes the queries of all rows, as they come out of one matrix with the keys.
    """
    hidden, inner = config.hidden_size, 3 * config.intermediate_size
    whole = Layer(hidden, hidden, hidden, inner), config.num_hidden_layers
    return layers_flops(tokens, *whole, rows) + 2 * tokens * hidden**2 + rows * 2 * hidden * words


ARCHITECTURE = Architecture(
    model_type=ModernBertConfig.model_type,
    style=contract.MASKED,
    hf_class="ModernBertForMaskedLM",
    special_tokens=BERT_TOKENS,
    config=ModernBertConfig,
    read_config=read_config,
    parameters=parameters,
    names=NAMES,
    head=HeadNames(WORD_EMBEDDINGS, DECODER, DECODER_BIAS),
    lora_targets=("Wqkv",),
    key_value_layers=key_value_layers,
    prefix_moves_positions=False,
    forward_loss=forward_loss,
    forward_flops=forward_flops,
)
