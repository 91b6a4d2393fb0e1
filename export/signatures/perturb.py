"""The noise passes, over all variables, in place.

`perturb_and_update` is θ ← θ + scale·z(seed). `perturb_and_decay` is the same for the parameters
that do not decay, and θ ← θ + (scale·z − decay·(θ + probe·z)) for the others
(docs/decisions/0031-decay-in-the-last-pass.md).
"""

import numpy as np
import tensorflow as tf

from pocketllm.runtime import contract, noise

from ..flatbuffer.convert import ConvertedFunction, Input, convert
from ..flatbuffer.variables import Variable
from . import noise_graph

NOISE_TABLE = "noise/table"


def noise_pass(
    signature: str,
    variables: tuple[Variable, ...],
    kind: str,
    table_shape: tuple[int, int] | None,
) -> tuple[ConvertedFunction, dict[str, int]]:
    """Converts a signature's function.

    Args:
      signature: one of contract.NOISE_PASSES.
      variables: all that are trained.
      kind: one of contract.NOISE_KINDS.
      table_shape: [rows, columns] of the noise table, None where the kind has no table.

    Returns:
      (the function, {key of a counter buffer: number of counters}).
    """
    numbers = contract.NOISE_PASSES[signature]
    columns = table_shape[1] if table_shape else 0
    constants, counters = noise_constants(variables, kind, table_shape)
    types = {contract.SEED: tf.int32}
    inputs = {
        **{name: Input((1,), types.get(name, tf.float32)) for name in numbers},
        **{v.name: Input(_perturbed_shape(v, columns), tf.float32) for v in variables},
        **constants,
    }

    def graph(tensors):
        return _moved(tensors, variables, kind)

    # A variable's output is assigned back to it, so that θ stays in the interpreter.
    function = ConvertedFunction(
        signature=signature,
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables={variable.name: variable for variable in variables},
        noise=frozenset(constants),
        assigned={f"o{variable.stream}": variable for variable in variables},
        inputs_first=False,
    )
    return function, counters


def noise_constants(
    variables: tuple[Variable, ...], kind: str, table_shape: tuple[int, int] | None
) -> tuple[dict[str, Input], dict[str, int]]:
    """Returns what a graph that draws directions reads: (inputs by key, counters by key).

    Args:
      variables: whose directions are drawn.
      kind: one of contract.NOISE_KINDS.
      table_shape: [rows, columns] of the noise table, None where the kind has no table.
    """
    # Counters depend on their number alone, so variables of one number share a buffer.
    columns = table_shape[1] if table_shape else 0
    counters = {
        counters_key(kind, v, columns): noise_graph.counter_count(kind, v.size, columns)
        for v in variables
    }
    inputs = {key: Input((count,), tf.uint32) for key, count in counters.items()}
    table = {NOISE_TABLE: Input(table_shape, tf.float32)} if table_shape else {}
    return inputs | table, counters


def counters_key(kind: str, variable: Variable, columns: int) -> str:
    """Names the input of a variable's counters; `columns` of the noise table, 0 without one."""
    return f"noise/counters/{noise_graph.counter_count(kind, variable.size, columns)}"


def _moved(tensors, variables, kind):
    """Moves all variables in one graph: a call of the signature then moves the whole of θ."""
    decays = contract.DECAY_SHARE in tensors
    word = noise_graph.seed_word(tensors[contract.SEED])
    columns = tensors[NOISE_TABLE].shape[1] if NOISE_TABLE in tensors else 0
    scales = _scales(tensors, decays)
    # The table is scaled once, not every direction: it is smaller than the variables.
    tables = {
        shrinks: tensors[NOISE_TABLE] * scales[shrinks] if NOISE_TABLE in tensors else None
        for shrinks in {decays and v.parameter.decays for v in variables}
    }
    outputs = {contract.DONE: -scales[decays]}
    for v in variables:
        shrinks, theta = decays and v.parameter.decays, tensors[v.name]
        z = noise_graph.direction(
            kind,
            key=noise_graph.stream_key(word, v.stream),
            counters=tensors[counters_key(kind, v, columns)],
            table=tables[shrinks],
            size=v.size,
        )
        moved = tf.reshape(z if tables[shrinks] is not None else z * scales[shrinks], theta.shape)
        if shrinks:
            moved -= tensors[contract.DECAY_SHARE] * theta
        outputs[f"o{v.stream}"] = theta + moved
    return outputs


def _scales(tensors, decays):
    """Returns {whether a variable decays: what multiplies its z}."""
    scales = {False: tensors[contract.SCALE]}
    if decays:
        scales[True] = scales[False] - tensors[contract.DECAY_SHARE] * tensors[contract.PROBE]
    return scales


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
