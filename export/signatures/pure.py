"""`forward_pure_T`: a forward pass that an accelerator's compiler takes whole.

What is trained comes in as inputs, and there are no variables, look-ups in integers or sums along
a row (docs/decisions/0055-a-forward-pass-without-variables.md).
"""

import tensorflow as tf

from pocketllm.runtime import contract

from ..flatbuffer.convert import ConvertedFunction, Input, convert
from .forward import ForwardGraph
from .pairs import PROBES, at_both_probes, matrix_of


def forward_pure(
    forward: ForwardGraph, tokens: int, aliases: tuple[str, ...] = ()
) -> ConvertedFunction:
    """Converts the forward pass of a bucket: the outputs of `forward_loss_T`.

    Args:
      forward: the forward pass, its quantised tables without scales.
      tokens: length of the bucket.
      aliases: further names of the signature.
    """
    shapes = {v.name: v.shape for v in forward.variables.values()}

    def graph(tensors):
        trained = {
            name: tf.reshape(tensors[variable.name], forward.inputs[name].shape)
            for name, variable in forward.variables.items()
        }
        return forward.compute(tensors | trained)

    return _converted(contract.forward_pure_for(tokens), forward, shapes, graph, aliases)


def forward_pure_pair(
    forward: ForwardGraph, tokens: int, aliases: tuple[str, ...] = ()
) -> ConvertedFunction:
    """Converts both probes of a bucket: the outputs of `forward_pair_T`, of values that come in.

    Args:
      forward: as `forward_pure` takes it; its variables are matrices and vectors.
      tokens: length of the bucket.
      aliases: further names of the signature.
    """
    variables = forward.variables.values()
    shapes = {v.name: (PROBES, *v.shape) for v in variables}

    def graph(tensors):
        of_probes = {
            v.name: tf.reshape(tensors[v.name], [PROBES, *matrix_of(v)]) for v in variables
        }
        return at_both_probes(forward, tensors | of_probes)

    return _converted(contract.forward_pure_pair_for(tokens), forward, shapes, graph, aliases)


def _converted(signature, forward, shapes, graph, aliases):
    inputs = {name: forward.inputs[name] for name in (*forward.batch, *forward.constants)}
    inputs |= {name: Input(shape, tf.float32) for name, shape in shapes.items()}
    return ConvertedFunction(
        signature=signature,
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables={},
        constants=forward.constants,
        aliases=aliases,
        is_pure=True,
    )
