"""RoBERTa's masked-LM loss, top to bottom, as a function of (inputs, weights).

Shapes: B batch, T tokens, D hidden, C label words, V vocabulary. Names are the checkpoint's.
"""

import re

import tensorflow as tf

from pocketllm.runtime import contract

from . import parameters as of
from .activations import ACTIVATION_FUNCTIONS, gelu
from .layers import (
    IGNORED_SCORE,
    WORDS_BIAS,
    WORDS_WEIGHT,
    gather,
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
from .parameters import Parameter
from .roberta_config import RobertaConfig
from .scoring import Target

EMBEDDINGS = "roberta.embeddings"
WORD_EMBEDDINGS = f"{EMBEDDINGS}.word_embeddings.weight"
LM_HEAD, LM_HEAD_BIAS = "lm_head.decoder.weight", "lm_head.bias"

# Scoring -> the signature's inputs that say where the scored tokens stand.
TARGET_INPUTS = {contract.WORDS: (contract.MASK_POSITION,)}
LORA_TARGETS = ("query", "value")
# Ignored on purpose: outputs the masked-LM loss does not use, and what other tensors already hold.
IGNORED = re.compile(
    r"roberta\.pooler\..*"  # sentence classification
    r"|roberta\.embeddings\.(position_ids|token_type_ids)"  # buffers, computed in the graph
    r"|lm_head\.bias"  # where lm_head.decoder.bias is read in its place
)


def checkpoint_names(names: set[str], config: RobertaConfig) -> dict[str, str]:
    """Returns {parameter: tensor} where a checkpoint calls one by another name."""
    # The same tensor under another name, or, with an untied decoder, the one that is added.
    other = "lm_head.decoder.bias"
    return {"lm_head.bias": other} if other in names else {}


def parameters(config: RobertaConfig, tied: bool) -> list[Parameter]:
    """Lists the parameters of the masked-LM loss in the checkpoint's order.

    Args:
      config: the architecture.
      tied: whether the LM head's decoder is the word embeddings, as published; otherwise it is a
        table of its own.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    found = [
        of.table(WORD_EMBEDDINGS, config.vocab_size, hidden),
        of.table(
            f"{EMBEDDINGS}.position_embeddings.weight", config.max_position_embeddings, hidden
        ),
        of.table(f"{EMBEDDINGS}.token_type_embeddings.weight", config.type_vocab_size, hidden),
        *of.layer_norm(f"{EMBEDDINGS}.LayerNorm", hidden),
    ]
    for index in range(config.num_hidden_layers):
        layer = f"roberta.encoder.layer.{index}"
        for projection in ("query", "key", "value"):
            found += of.linear(f"{layer}.attention.self.{projection}", hidden, hidden)
        found += of.linear(f"{layer}.attention.output.dense", hidden, hidden)
        found += of.layer_norm(f"{layer}.attention.output.LayerNorm", hidden)
        found += of.linear(f"{layer}.intermediate.dense", hidden, inner)
        found += of.linear(f"{layer}.output.dense", inner, hidden)
        found += of.layer_norm(f"{layer}.output.LayerNorm", hidden)
    found += of.linear("lm_head.dense", hidden, hidden)
    found += of.layer_norm("lm_head.layer_norm", hidden)
    found.append(of.Parameter(LM_HEAD_BIAS, (config.vocab_size,), "vector", False))
    return found if tied else [*found, of.table(LM_HEAD, config.vocab_size, hidden)]


def key_value_layers(config: RobertaConfig) -> list[str]:
    """Names the key's and value's projection of every layer."""
    return [
        f"roberta.encoder.layer.{index}.attention.self.{which}"
        for index in range(config.num_hidden_layers)
        for which in ("key", "value")
    ]


def forward_loss(config: RobertaConfig, target: Target, tied, tensors, tables, head):
    """Computes the loss and the logits of the label words at the mask.

    Args:
      config: the architecture.
      target: C label words.
      tied: whether the decoder is the word embeddings.
      tensors: the signature's inputs, [B, T] and [B], and the variables, all by name.
      tables: parameter name -> [(first row, tensor)], the chunks of every table.
      head: empty, for no option is scored here.

    Returns:
      {loss [1], weight_sum [1], logits [B, C]}.
    """
    assert target.scoring == contract.WORDS and not head
    ids, mask = tensors[contract.INPUT_IDS], tensors[contract.ATTENTION_MASK]
    batch, tokens = ids.shape
    # Of an untied decoder only the chunks that hold a label word are looked into.
    decoder_chunks = [
        (first, chunk)
        for first, chunk in ([] if tied else tables[LM_HEAD])
        if any(first <= word_id < first + chunk.shape[0] for word_id in target.word_ids)
    ]
    word_ids = tf.constant(target.word_ids, tf.int32)

    # Everything outside the delegate comes first: look-ups and integer operations.
    # A tied decoder's rows ride along with the tokens' embeddings: one look-up.
    flat = tf.reshape(ids, [-1])
    rows = lookup(tf.concat([flat, word_ids], 0) if tied else flat, tables[WORD_EMBEDDINGS])
    x = rows_of(rows, 0, batch * tokens)
    if WORDS_WEIGHT in tensors:
        decoder, decoder_bias = tensors[WORDS_WEIGHT], tensors[WORDS_BIAS]
    else:
        decoder = (  # C D
            rows_of(rows, batch * tokens, len(target.word_ids))
            if tied
            else lookup(word_ids, decoder_chunks)
        )
        decoder_bias = gather(tensors[LM_HEAD_BIAS], word_ids)
    # Padding stands at pad_token_id, tokens count on from there.
    positions = tf.reshape(tf.cumsum(mask, 1) * mask + config.pad_token_id, [-1])
    x = x + lookup(positions, tables[f"{EMBEDDINGS}.position_embeddings.weight"])
    token_type = rows_of(tables[f"{EMBEDDINGS}.token_type_embeddings.weight"][0][1], 0, 1)
    bias = (1.0 - tf.cast(mask, tf.float32))[:, None, None, :] * IGNORED_SCORE  # B 1 1 T
    bias = seeing_prefix(bias, tensors)
    selector = tf.one_hot(tensors[contract.MASK_POSITION], tokens)[:, None, :]  # B 1 T

    eps = config.layer_norm_eps
    x = tf.expand_dims(x + token_type, 0)
    x = layer_norm(x, tensors, f"{EMBEDDINGS}.LayerNorm", eps)  # 1 B*T D
    for index in range(config.num_hidden_layers):
        last = index == config.num_hidden_layers - 1
        # Only the mask's row leaves the last layer.
        picked = select(selector, x) if last else x
        x = _encoder_layer(config, picked, x, bias, tensors, index, batch)

    x = gelu(linear(x, tensors, "lm_head.dense"))
    x = layer_norm(x, tensors, "lm_head.layer_norm", eps)  # 1 B D
    # The bias first: bind schedules in this order, and a look-up in between would cut a partition.
    logits = decoder_bias + word_logits(x, decoder)  # B C
    loss, weight_sum = weighted_cross_entropy(
        logits, tensors[contract.LABEL], tensors[contract.WEIGHT]
    )
    return {contract.LOSS: loss, contract.WEIGHT_SUM: weight_sum, contract.LOGITS: logits}


def _encoder_layer(config, rows, x, bias, weights, index, batch):
    """One post-norm layer for `rows` [1, B * Q, D], attending to x [1, B * T, D]."""
    name = f"roberta.encoder.layer.{index}"
    eps = config.layer_norm_eps
    projections = [f"{name}.attention.self.{which}" for which in ("query", "key", "value")]
    attended = self_attention(
        rows, x, [bias], weights, projections, batch, config.num_attention_heads
    )
    projected = linear(attended, weights, f"{name}.attention.output.dense")
    rows = layer_norm(rows + projected, weights, f"{name}.attention.output.LayerNorm", eps)
    inner = ACTIVATION_FUNCTIONS[config.hidden_act](
        linear(rows, weights, f"{name}.intermediate.dense")
    )
    out = linear(inner, weights, f"{name}.output.dense")
    return layer_norm(rows + out, weights, f"{name}.output.LayerNorm", eps)
