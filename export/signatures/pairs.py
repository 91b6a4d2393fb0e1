"""`forward_pair_T`: the losses at θ + eps·z and at θ − eps·z out of one forward pass.

Every row of the batch is there twice, and what is trained has a value for each probe; what is
frozen meets the rows of both at once (docs/decisions/0053-both-probes-in-one-pass.md).
"""

from collections import defaultdict

import tensorflow as tf

from pocketllm.runtime import contract

from ..flatbuffer.convert import ConvertedFunction, Input, convert
from ..flatbuffer.variables import Variable
from . import noise_graph
from .forward import ForwardGraph
from .perturb import NOISE_TABLE, counters_key, noise_constants

PROBES = 2


def forward_pair(
    forward: ForwardGraph,
    kind: str,
    table_shape: tuple[int, int] | None,
    tokens: int,
    aliases: tuple[str, ...] = (),
) -> ConvertedFunction:
    """Converts the pair of probes of the bucket of `tokens` tokens; θ stays where it is.

    Args:
      forward: the forward pass, whose variables are matrices and vectors.
      kind: one of contract.NOISE_KINDS.
      table_shape: [rows, columns] of the noise table, None where the kind has no table.
      tokens: length of the bucket.
      aliases: further names of the signature.
    """
    variables = tuple(forward.variables.values())
    constants, _ = noise_constants(variables, kind, table_shape)
    probe = {contract.SEED: Input((1,), tf.int32), contract.EPS: Input((1,), tf.float32)}
    inputs = forward.inputs | probe | constants

    def graph(tensors):
        return at_both_probes(forward, tensors | _probes(tensors, variables, kind))

    return ConvertedFunction(
        signature=contract.forward_pair_for(tokens),
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables=forward.variables,
        constants=forward.constants,
        noise=frozenset(constants),
        aliases=aliases,
    )


def at_both_probes(forward: ForwardGraph, tensors: dict) -> dict:
    """Returns {loss [2], weight_sum [1]} of tensors whose variables hold the values of two probes.

    A variable is [2, rows, columns], and a vector [2, 1, D].
    """
    doubled = {name: tf.concat([tensors[name]] * PROBES, 0) for name in forward.batch}
    weight = tensors[contract.WEIGHT]
    doubled[contract.WEIGHT] = tf.reshape(doubled[contract.WEIGHT], [PROBES, *weight.shape])
    outputs = forward.compute(tensors | doubled)
    weight_sum = tf.slice(outputs[contract.WEIGHT_SUM], [0], [1])  # the same for both
    return {contract.LOSS: outputs[contract.LOSS], contract.WEIGHT_SUM: weight_sum}


def _probes(tensors, variables: tuple[Variable, ...], kind):
    """Returns {variable: its values at both probes}: [2, rows, columns], [2, 1, D] of a vector.

    The bits are those of `perturb_and_update`: z times a scale, and θ plus that, each rounded.
    """
    directions, eps = _directions(tensors, variables, kind), tensors[contract.EPS]
    scales = tf.reshape(tf.concat([eps, -eps], 0), [PROBES, 1, 1])
    return {
        v.name: tf.reshape(tensors[v.name], [1, *matrix_of(v)]) + directions[v.name] * scales
        for v in variables
    }


def matrix_of(variable: Variable) -> tuple[int, ...]:
    """Returns a variable's shape, a vector's as that of a matrix of one row."""
    return variable.shape if len(variable.shape) == 2 else (1, *variable.shape)


def _directions(tensors, variables, kind):
    """Returns {variable: z, [1, rows, columns]}.

    Those of one shape are drawn together: an engine keeps 3 kB of every operator.
    """
    word, table = noise_graph.seed_word(tensors[contract.SEED]), tensors.get(NOISE_TABLE)
    columns = 0 if table is None else table.shape[1]
    alike = defaultdict(list)
    for v in variables:
        alike[matrix_of(v)].append(v)
    drawn = {}
    for shape, group in alike.items():
        keys = noise_graph.stream_keys(word, [v.stream for v in group])
        counters = tensors[counters_key(kind, group[0], columns)]
        z = noise_graph.directions(kind, keys=keys, counters=counters, table=table)
        together = tf.reshape(z[:, : group[0].size], [len(group), *shape])
        for place, v in enumerate(group):
            drawn[v.name] = tf.slice(together, [place, 0, 0], [1, *shape])
    return drawn
