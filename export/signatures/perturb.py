"""`perturb_and_update`: θ ← θ + scale·z(seed) over all variables, in place."""

import numpy as np
import tensorflow as tf

from pocketllm.runtime import contract, noise

from ..flatbuffer.convert import Input, convert
from ..flatbuffer.converted import ConvertedFunction
from ..flatbuffer.variables import Variable
from . import noise_graph

NOISE_TABLE = "noise/table"


def perturb_and_update(
    variables: tuple[Variable, ...], kind: str, table_shape: tuple[int, int] | None
) -> tuple[ConvertedFunction, dict[str, int]]:
    """Converts the signature's function.

    Args:
      variables: all that are trained.
      kind: one of contract.NOISE_KINDS.
      table_shape: [rows, columns] of the noise table, None where the kind has no table.

    Returns:
      (the function, {key of a counter buffer: number of counters}).
    """
    # Counters depend on their number alone, so variables of one number share a buffer.
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

    # One graph for all variables: a call of the signature then moves the whole of θ.
    def graph(tensors):
        scale = tensors[contract.SCALE]
        seed = noise_graph.seed_word(tensors[contract.SEED])
        # The table is scaled once, not every direction: it is smaller than the variables.
        table = tensors[NOISE_TABLE] * scale if table_shape else None
        outputs = {contract.DONE: -scale}
        for v in variables:
            direction = noise_graph.scaled_direction(
                kind,
                key=noise_graph.stream_key(seed, v.stream),
                counters=tensors[f"noise/counters/{counts[v.name]}"],
                table=table,
                scale=scale,
                size=v.size,
            )
            theta = tensors[v.name]
            outputs[f"o{v.stream}"] = theta + tf.reshape(direction, theta.shape)
        return outputs

    # A variable's output is assigned back to it, so that θ stays in the interpreter.
    function = ConvertedFunction(
        signature=contract.PERTURB_AND_UPDATE,
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables={variable.name: variable for variable in variables},
        noise=frozenset(counters) | ({NOISE_TABLE} if table_shape else frozenset()),
        assigned={f"o{variable.stream}": variable for variable in variables},
        inputs_first=False,
    )
    return function, counters


def _perturbed_shape(variable, columns):
    """Returns the shape in which a variable is perturbed: that of rows of the noise table.

    A variable is bytes: read and assigned as [blocks, columns], the shape of the gathered rows, it
    needs no reshaped copy of them.
    """
    if columns and variable.size % columns == 0:
        return (variable.size // columns, columns)
    return variable.shape


def counter_values(counters: dict[str, int]) -> dict[str, np.ndarray]:
    """Returns {key of a counter buffer: its values, [count] uint32}."""
    return {key: noise.counters(count) for key, count in counters.items()}
