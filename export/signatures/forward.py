"""The forward pass of one length bucket: its inputs, and the loss as a function of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from pocketllm.runtime import contract

from ..flatbuffer.constants import SCALES, Constant, scales_of
from ..flatbuffer.convert import Input
from ..flatbuffer.variables import Variable, chunks_of
from ..models import FAMILIES, family_name, head_table
from ..models.layers import ScaledRows
from ..models.scoring import Target
from ..tune.lora import SCALING

HEAD = "head"


@dataclass(frozen=True)
class Forward:
    """A forward pass to convert, or to take the gradient of.

    Attributes:
      inputs: every input by name, those that are weights included.
      variables: input name -> variable it is read from.
      constants: input name -> frozen parameter it is, or chunk of one.
      compute: {input name: tensor} -> {loss [1], weight_sum [1], logits [B, C]}.
    """

    inputs: dict[str, Input]
    variables: dict[str, Variable]
    constants: dict[str, Constant]
    compute: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


def forward_pass(
    config,
    variables: tuple[Variable, ...],
    target: Target,
    tied: bool,
    batch: int,
    tokens: int,
    constants: Sequence[Constant] = (),
    scaling: float = 0.0,
) -> Forward:
    """Describes the forward pass over [batch * sequences_per_row, tokens].

    `variables` are trained, `constants` are frozen, `scaling` is that of LoRA's products.
    """
    family = FAMILIES[family_name(config)]
    sequences = batch * target.sequences_per_row
    inputs = {
        contract.INPUT_IDS: Input((sequences, tokens), tf.int32),
        contract.ATTENTION_MASK: Input((sequences, tokens), tf.int32),
        **{name: Input((sequences,), tf.int32) for name in family.TARGET_INPUTS[target.scoring]},
        **({contract.LABEL: Input((batch,), tf.int32)} if target.has_label else {}),
        contract.WEIGHT: Input((batch,), tf.float32),
        **{piece.name: Input(piece.shape, _dtype(piece)) for piece in (*variables, *constants)},
    }
    scales = {c.name for c in constants if c.storage == SCALES}
    pieces = [piece for piece in (*variables, *constants) if piece.name not in scales]
    # The head's chunks are read a second time at the end: read once, they would all be kept. Both
    # times in one shape: the delegate does not take a second reading in another.
    head = {}
    if target.scoring != contract.WORDS:
        for piece in chunks_of(pieces, head_table(config, tied)):
            head[f"{HEAD}/{piece.name}"] = piece
            inputs[f"{HEAD}/{piece.name}"] = Input((1, *piece.shape), tf.float32)
            if isinstance(piece, Variable):
                inputs[piece.name] = inputs[f"{HEAD}/{piece.name}"]

    def compute(tensors):
        tables: dict[str, list] = {}
        linears: dict[str, list] = {}
        for piece in pieces:
            name, held = piece.parameter.name, tensors[piece.name]
            if scales_of(piece.name) in scales:
                held = ScaledRows(held, tensors[scales_of(piece.name)])
            if piece.parameter.kind == "table":
                tables.setdefault(name, []).append((piece.rows[0], held))
            elif piece.parameter.kind == "linear":
                linears.setdefault(name, []).append(held)
        chunks_of_head = [tensors[name] for name in head]
        tensors = tensors | linears | {SCALING: scaling}
        return family.forward_loss(config, target, tied, tensors, tables, chunks_of_head)

    held = {piece.name: piece for piece in (*variables, *constants)} | head
    read = {name: piece for name, piece in held.items() if isinstance(piece, Variable)}
    fixed = {name: piece for name, piece in held.items() if isinstance(piece, Constant)}
    return Forward(inputs, read, fixed, compute)


def _dtype(piece):
    """A quantised table is int8; a matrix is float32 while converting, until it is bound."""
    table = isinstance(piece, Constant) and piece.parameter.kind == "table"
    return tf.int8 if table and piece.storage == contract.INT8 else tf.float32
