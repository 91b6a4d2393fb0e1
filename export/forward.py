"""The forward pass of one length bucket: its inputs, and the loss as a function of them."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from pocketllm.runtime import contract

from .convert import Input
from .families import FAMILIES, family_name
from .layout import Variable, chunks_of
from .target import Target

HEAD = "head"


@dataclass(frozen=True)
class Forward:
    """A forward pass to convert, or to take the gradient of.

    Attributes:
      inputs: every input by name, those that are variables included.
      variables: input name -> variable it is read from.
      compute: {input name: tensor} -> {loss [1], weight_sum [1], logits [B, C]}.
    """

    inputs: dict[str, Input]
    variables: dict[str, Variable]
    compute: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]


def forward_pass(
    config,
    variables: tuple[Variable, ...],
    target: Target,
    tied: bool,
    batch: int,
    tokens: int,
) -> Forward:
    """Describes the forward pass over [batch * sequences_per_row, tokens]."""
    family = FAMILIES[family_name(config)]
    sequences = batch * target.sequences_per_row
    inputs = {
        contract.INPUT_IDS: Input((sequences, tokens), tf.int32),
        contract.ATTENTION_MASK: Input((sequences, tokens), tf.int32),
        **{name: Input((sequences,), tf.int32) for name in family.TARGET_INPUTS[target.scoring]},
        **({contract.LABEL: Input((batch,), tf.int32)} if target.has_label else {}),
        contract.WEIGHT: Input((batch,), tf.float32),
        **{variable.name: Input(variable.shape, tf.float32) for variable in variables},
    }
    # The head's chunks are read a second time at the end: read once, they would all be kept. Both
    # times in one shape: the delegate does not take a second reading in another.
    head = {}
    if target.scoring != contract.WORDS:
        table = family.WORD_EMBEDDINGS if tied else family.LM_HEAD
        for variable in chunks_of(variables, table):
            head[f"{HEAD}/{variable.name}"] = variable
            for name in (variable.name, f"{HEAD}/{variable.name}"):
                inputs[name] = Input((1, *variable.shape), tf.float32)

    def compute(tensors):
        tables: dict[str, list] = {}
        linears: dict[str, list] = {}
        for variable in variables:
            name, held = variable.parameter.name, tensors[variable.name]
            if variable.parameter.kind == "table":
                tables.setdefault(name, []).append((variable.rows[0], held))
            elif variable.parameter.kind == "linear":
                linears.setdefault(name, []).append(held)
        chunks_of_head = [tensors[name] for name in head]
        return family.forward_loss(config, target, tied, tensors | linears, tables, chunks_of_head)

    bound = {variable.name: variable for variable in variables}
    return Forward(inputs, bound | head, compute)
