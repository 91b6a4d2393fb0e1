"""The functions of a bundle: which tensors each takes, and how each is converted."""

from collections.abc import Iterable

import tensorflow as tf

from pocketllm.runtime import contract, noise

from . import noise_graph
from .bind import Function
from .convert import Input, convert
from .families import FAMILIES, family_name, head_table
from .frozen import SCALES, Constant, scales_of
from .layers import ScaledRows
from .layout import Variable, chunks_of
from .lora import SCALING
from .target import Target

NOISE_TABLE = "noise/table"
HEAD = "head"


def forward_loss(
    config,
    variables: tuple[Variable, ...],
    target: Target,
    tied: bool,
    batch: int,
    tokens: int,
    aliases: tuple[str, ...] = (),
    constants: Iterable[Constant] = (),
    scaling: float = 0.0,
) -> Function:
    """Converts the forward pass of one length bucket, [batch * sequences_per_row, tokens].

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
    } | _weight_inputs([*variables, *constants])
    held_in = {piece.name: piece for piece in (*variables, *constants)}
    # The head's chunks are read a second time at the end: read once, they would all be kept. Both
    # times in one shape: the delegate does not take a second reading in another.
    head = {}
    if target.scoring != contract.WORDS:
        for piece in chunks_of(held_in.values(), head_table(config, tied)):
            if isinstance(piece, Constant) and piece.storage == SCALES:
                continue
            head[f"{HEAD}/{piece.name}"] = piece
            inputs[f"{HEAD}/{piece.name}"] = Input((1, *piece.shape), tf.float32)
            if isinstance(piece, Variable):
                inputs[piece.name] = inputs[f"{HEAD}/{piece.name}"]

    def graph(tensors):
        tables: dict[str, list] = {}
        linears: dict[str, list] = {}
        for piece in held_in.values():
            name, held = piece.parameter.name, tensors[piece.name]
            if scales_of(piece.name) in tensors:
                held = ScaledRows(held, tensors[scales_of(piece.name)])
            if isinstance(piece, Constant) and piece.storage == SCALES:
                continue
            if piece.parameter.kind == "table":
                tables.setdefault(name, []).append((piece.rows[0], held))
            elif piece.parameter.kind == "linear":
                linears.setdefault(name, []).append(held)
        chunks_of_head = [tensors[name] for name in head]
        tensors = tensors | linears | {SCALING: scaling}
        return family.forward_loss(config, target, tied, tensors, tables, chunks_of_head)

    return Function(
        signature=contract.forward_loss_for(tokens),
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables=_of_type(Variable, held_in | head),
        aliases=aliases,
        frozen=_of_type(Constant, held_in | head),
    )


def _of_type(kind, pieces):
    return {name: piece for name, piece in pieces.items() if isinstance(piece, kind)}


def perturb_and_update(
    variables: tuple[Variable, ...], kind: str, table_shape: tuple[int, int] | None
) -> tuple[Function, dict[str, int]]:
    """Converts θ ← θ + scale·z(seed) over all variables.

    Returns:
      (the function, {constant key: number of counters} for its counter constants).
    """
    columns = table_shape[1] if table_shape else 0
    counts = {v.name: noise_graph.counter_count(kind, v.size, columns) for v in variables}
    counters = {f"noise/counters/{count}": count for count in sorted(set(counts.values()))}
    inputs = {
        contract.SEED: Input((1,), tf.int32),
        contract.SCALE: Input((1,), tf.float32),
        **{key: Input((count,), tf.uint32) for key, count in counters.items()},
        **{v.name: Input(_perturbed_shape(v, columns), tf.float32) for v in variables},
    }
    if table_shape:
        inputs[NOISE_TABLE] = Input(table_shape, tf.float32)

    def graph(tensors):
        scale = tensors[contract.SCALE]
        seed = noise_graph.seed_word(tensors[contract.SEED])
        table = tensors[NOISE_TABLE] * scale if table_shape else None
        outputs = {contract.DONE: -scale}
        for v in variables:
            moved = noise_graph.scaled_direction(
                kind,
                noise_graph.stream_key(seed, v.stream),
                tensors[f"noise/counters/{counts[v.name]}"],
                table,
                scale,
                v.size,
            )
            theta = tensors[v.name]
            outputs[f"o{v.stream}"] = theta + tf.reshape(moved, theta.shape)
        return outputs

    function = Function(
        signature=contract.PERTURB_AND_UPDATE,
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables={variable.name: variable for variable in variables},
        constants=frozenset(counters) | ({NOISE_TABLE} if table_shape else frozenset()),
        assigned={f"o{variable.stream}": variable for variable in variables},
    )
    return function, counters


def _perturbed_shape(variable, columns):
    """Returns the shape under which a variable is perturbed: as rows of the noise table.

    A variable is bytes: reading and assigning it as [blocks, columns], the shape that the gathered
    rows have, spares the workspace and the time of a reshaped copy of them.
    """
    if columns and variable.size % columns == 0:
        return (variable.size // columns, columns)
    return variable.shape


def counter_values(counters: dict[str, int]):
    """Returns {constant key: [count] uint32}, the values of the counter constants."""
    return {key: noise.counters(count) for key, count in counters.items()}


def _weight_inputs(pieces):
    # A quantised matrix is float32 while converting; its products change when they are bound.
    return {
        piece.name: Input(piece.shape, tf.int8 if _is_quantised_table(piece) else tf.float32)
        for piece in pieces
    }


def _is_quantised_table(piece):
    return isinstance(piece, Constant) and piece.rows and piece.storage == contract.INT8
