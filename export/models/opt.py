"""OPT's causal-LM loss, top to bottom, as a function of (inputs, weights).

Shapes: S sequences, T tokens, D hidden, E width of the word embeddings, Q rows of a sequence that
are scored. Names are the checkpoint's.
"""

import re

import tensorflow as tf

from pocketllm.runtime import contract

from . import parameters as of
from .activations import ACTIVATION_FUNCTIONS
from .causal import option_loss, token_log_probs
from .layers import (
    IGNORED_SCORE,
    WORDS_WEIGHT,
    layer_norm,
    linear,
    lookup,
    rows_of,
    seeing_prefix,
    select,
    self_attention,
    weighted_cross_entropy,
    word_logits,
)
from .opt_config import OptConfig
from .parameters import Parameter
from .scoring import Target

DECODER_STACK = "model.decoder"
WORD_EMBEDDINGS = f"{DECODER_STACK}.embed_tokens.weight"
POSITIONS = f"{DECODER_STACK}.embed_positions.weight"
LM_HEAD, LM_HEAD_BIAS = "lm_head.weight", None
# Positions of padding and of the first token; rows 0 of the table are never read.
PADDING_POSITION, FIRST_POSITION = 1, 2
LAYER_NORM_EPS = 1e-5  # torch.nn.LayerNorm's own
# Rows that attend together: a block sees the rows up to its own end alone, so that scores are small
# and half of them are never computed.
ATTENTION_BLOCK = 128

# Scoring -> the signature's inputs that say where the scored tokens stand.
TARGET_INPUTS = {
    contract.WORDS: (contract.LAST_POSITION,),
    contract.OPTIONS: (contract.OPTION_START, contract.OPTION_TOKENS),
    contract.GOLD: (contract.OPTION_START, contract.OPTION_TOKENS),
}
LORA_TARGETS = ("q_proj", "v_proj")
# A buffer of checkpoints that came from metaseq.
IGNORED = re.compile(r"(model\.)?decoder\.version")


def checkpoint_names(names: set[str], config: OptConfig) -> dict[str, str]:
    """Returns {parameter: tensor} where a checkpoint calls one by another name."""
    found = {}
    if "decoder.embed_tokens.weight" in names:  # saved without the LM head around it
        found = {f"model.{name}": name for name in names if name.startswith("decoder.")}
    if config.tie_word_embeddings and found.get(WORD_EMBEDDINGS, WORD_EMBEDDINGS) not in names:
        found[WORD_EMBEDDINGS] = LM_HEAD
    return found


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

    positions = config.max_position_embeddings + FIRST_POSITION
    found = [
        of.table(WORD_EMBEDDINGS, config.vocab_size, width),
        of.table(POSITIONS, positions, hidden),
    ]
    if config.has_projections:
        found += of.linear(f"{DECODER_STACK}.project_out", hidden, width, bias=False)
        found += of.linear(f"{DECODER_STACK}.project_in", width, hidden, bias=False)
    if config.has_final_layer_norm:
        found += norm(f"{DECODER_STACK}.final_layer_norm")
    for index in range(config.num_hidden_layers):
        layer = f"{DECODER_STACK}.layers.{index}"
        for projection in ("k_proj", "v_proj", "q_proj", "out_proj"):
            found += linear(f"{layer}.self_attn.{projection}", hidden, hidden)
        found += norm(f"{layer}.self_attn_layer_norm")
        found += linear(f"{layer}.fc1", hidden, inner) + linear(f"{layer}.fc2", inner, hidden)
        found += norm(f"{layer}.final_layer_norm")
    return found if tied else [*found, of.table(LM_HEAD, config.vocab_size, width)]


def key_value_layers(config: OptConfig) -> list[str]:
    """Names the key's and value's projection of every layer."""
    return [
        f"{DECODER_STACK}.layers.{index}.self_attn.{which}"
        for index in range(config.num_hidden_layers)
        for which in ("k_proj", "v_proj")
    ]


def forward_loss(config: OptConfig, target: Target, tied, tensors, tables, head):
    """Computes the loss and the scores of the label words or options.

    Args:
      config: the architecture.
      target: what is scored.
      tied: whether the LM head is the word embeddings.
      tensors: the signature's inputs, [S, T], [S] and [B], and the variables, all by name.
      tables: parameter name -> [(first row, tensor)], the chunks of every table.
      head: [1, rows, E] chunks of the LM head; empty for WORDS.

    Returns:
      {loss [1], weight_sum [1], logits [B, C]}.
    """
    ids, mask = tensors[contract.INPUT_IDS], tensors[contract.ATTENTION_MASK]
    sequences, tokens = ids.shape
    word_ids = tf.constant(target.word_ids, tf.int32)

    # Everything outside the delegate comes first: look-ups and integer operations.
    # Label words' rows of a tied head ride along with the tokens' embeddings: one look-up.
    flat = tf.reshape(ids, [-1])
    rows = lookup(
        tf.concat([flat, word_ids], 0) if tied and target.word_ids else flat,
        tables[WORD_EMBEDDINGS],
    )
    embedded = tf.expand_dims(rows_of(rows, 0, sequences * tokens), 0)  # 1 S*T E
    positions = tf.reshape(tf.cumsum(mask, 1) * mask + PADDING_POSITION, [-1])
    positions = tf.expand_dims(lookup(positions, tables[POSITIONS]), 0)
    scored = _scored_rows(target, tensors, tokens)  # S Q
    selector = tf.one_hot(scored, tokens)  # S Q T
    scored_bias = seeing_prefix(_attention_bias(scored, mask, tokens), tensors)
    biases = [
        seeing_prefix(_attention_bias(tf.range(first, last)[None], mask, last), tensors)
        for first, last in _blocks(tokens)
    ]

    x = embedded
    if config.has_projections:
        x = linear(x, tensors, f"{DECODER_STACK}.project_in")
    x = x + positions
    for index in range(config.num_hidden_layers):
        # Only the scored rows leave the last layer.
        last = index == config.num_hidden_layers - 1
        picked, bias = (select(selector, x), [scored_bias]) if last else (x, biases)
        x = _decoder_layer(config, picked, x, bias, tensors, index, sequences)
    if config.has_final_layer_norm:
        x = layer_norm(x, tensors, f"{DECODER_STACK}.final_layer_norm", LAYER_NORM_EPS)
    if config.has_projections:
        x = linear(x, tensors, f"{DECODER_STACK}.project_out")  # 1 S*Q E

    if target.scoring != contract.WORDS:
        expected = scored + 1  # S K, the option's own tokens
        if tied:
            embeddings = select(tf.one_hot(expected, tokens), embedded)
        else:
            at = tf.one_hot(expected, tokens, dtype=tf.int32)
            expected_ids = tf.reshape(tf.reduce_sum(at * ids[:, None], -1), [-1])
            embeddings = tf.expand_dims(lookup(expected_ids, tables[LM_HEAD]), 0)
        return option_loss(token_log_probs(x, embeddings, head), tensors, target)
    # Of an untied head only the chunks that hold a label word are looked into.
    of_words = [
        (first, chunk)
        for first, chunk in tables.get(LM_HEAD, [])
        if any(first <= word_id < first + chunk.shape[-2] for word_id in target.word_ids)
    ]
    if WORDS_WEIGHT in tensors:
        decoder = tensors[WORDS_WEIGHT]
    elif tied:
        decoder = rows_of(rows, sequences * tokens, len(target.word_ids))
    else:
        decoder = lookup(word_ids, of_words)
    logits = word_logits(x, decoder)  # S C, of C rows [C, E]
    loss, weight_sum = weighted_cross_entropy(
        logits, tensors[contract.LABEL], tensors[contract.WEIGHT]
    )
    return {contract.LOSS: loss, contract.WEIGHT_SUM: weight_sum, contract.LOGITS: logits}


def _scored_rows(target, tensors, tokens):
    """Returns the rows [S, Q] whose next token is scored."""
    if target.scoring == contract.WORDS:
        return tensors[contract.LAST_POSITION][:, None]
    rows = tensors[contract.OPTION_START][:, None] - 1 + tf.range(target.option_rows(tokens))[None]
    return tf.minimum(tf.maximum(rows, 0), tokens - 1)


def _attention_bias(rows, mask, keys):
    """Returns [S, 1, Q, keys] float32 for `rows` [S or 1, Q]: 0 for tokens up to the row itself."""
    seen = tf.cast(tf.range(keys)[None, None] <= rows[:, :, None], tf.int32)  # S Q keys
    allowed = tf.cast(seen * mask[:, None, :keys], tf.float32)
    return ((1.0 - allowed) * IGNORED_SCORE)[:, None]


def _blocks(tokens):
    starts = range(0, tokens, ATTENTION_BLOCK)
    return [(first, min(first + ATTENTION_BLOCK, tokens)) for first in starts]


def _decoder_layer(config, rows, x, biases, weights, index, sequences):
    """One layer for `rows` [1, S * Q, D], attending to x [1, S * T, D]."""
    name = f"{DECODER_STACK}.layers.{index}"
    before = config.do_layer_norm_before

    def norm(y, which, applied):
        return layer_norm(y, weights, f"{name}.{which}", LAYER_NORM_EPS) if applied else y

    same = rows is x
    seen = norm(x, "self_attn_layer_norm", before)
    attending = seen if same else norm(rows, "self_attn_layer_norm", before)
    projections = [f"{name}.self_attn.{which}" for which in ("q_proj", "k_proj", "v_proj")]
    attended = self_attention(
        attending, seen, biases, weights, projections, sequences, config.num_attention_heads
    )
    rows = rows + linear(attended, weights, f"{name}.self_attn.out_proj")
    rows = norm(rows, "self_attn_layer_norm", not before)
    inner = norm(rows, "final_layer_norm", before)
    inner = ACTIVATION_FUNCTIONS[config.activation_function](linear(inner, weights, f"{name}.fc1"))
    rows = rows + linear(inner, weights, f"{name}.fc2")
    return norm(rows, "final_layer_norm", not before)
