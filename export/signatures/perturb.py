"""The functions of a bundle: which tensors each takes, and how each is converted."""

import tensorflow as tf

from pocketllm.runtime import contract, noise

from ..flatbuffer.bind import Function
from ..flatbuffer.convert import Input, convert
from ..flatbuffer.variables import Variable
from . import noise_graph
from .forward import Forward

NOISE_TABLE = "noise/table"


def forward_loss(forward: Forward, tokens: int, aliases: tuple[str, ...] = ()) -> Function:
    """Converts the forward pass of the bucket of `tokens` tokens."""
    return Function(
        signature=contract.forward_loss_for(tokens),
        flatbuffer=convert(forward.compute, forward.inputs),
        inputs=list(forward.inputs),
        variables=forward.variables,
        aliases=aliases,
        frozen=forward.constants,
    )


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
        inputs_first=False,
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
