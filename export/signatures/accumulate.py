"""Steps of any batch size: gradients are added up over micro-batches, then used.

A step is `gradients_initialize`, `adam_accumulate_T` for each micro-batch, `gradient_norm`, and
`adam_apply` or `sgd_apply`. Each graph but the second is one pass over what is trained.
"""

from dataclasses import replace

import tensorflow as tf

from pocketllm.runtime import contract

from ..flatbuffer.convert import ConvertedFunction, Input, convert
from ..flatbuffer.variables import Variable
from .adam import SCALARS, adam_change, bias_corrections, moments, moved, new_moments
from .forward import ForwardGraph
from .gradients import gradients_of


def sum_of(variable: Variable) -> Variable:
    """Returns the variable that holds the sum of another's gradients."""
    return replace(variable, name=f"gradient/{variable.name}")


def accumulate(
    forward: ForwardGraph, used: tuple[Variable, ...], tokens: int, aliases: tuple[str, ...] = ()
) -> ConvertedFunction:
    """Converts a micro-batch of the bucket of `tokens` tokens: its gradient, times its weight sum.

    Args:
      forward: the forward pass.
      used: the variables that the loss depends on.
      tokens: length of the bucket.
      aliases: further names of the signature.
    """
    sums = {sum_of(v).name: sum_of(v) for v in used}
    added = {sum_of(v).name: Input(v.shape, tf.float32) for v in used}
    inputs = forward.inputs | added

    def graph(tensors):
        outputs, gradients = gradients_of(forward, tensors)
        loss, weight = outputs[contract.LOSS], outputs[contract.WEIGHT_SUM]
        summed = {
            f"g{v.stream}": tensors[sum_of(v).name]
            + tf.reshape(gradients[v.name], v.shape) * weight
            for v in used
        }
        return {contract.LOSS: loss, contract.WEIGHT_SUM: weight} | summed

    return ConvertedFunction(
        signature=contract.adam_accumulate_for(tokens),
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables=forward.variables | sums,
        constants=forward.constants,
        # As in adam.py: the gradients of the last layers are known first.
        assigned={f"g{v.stream}": sum_of(v) for v in reversed(used)},
        aliases=aliases,
    )


def gradient_norm(used: tuple[Variable, ...]) -> ConvertedFunction:
    """Converts the norm of all sums together."""
    sums = {sum_of(v).name: sum_of(v) for v in used}
    inputs = {name: Input(v.shape, tf.float32) for name, v in sums.items()}

    def graph(tensors):
        squares = [tf.reduce_sum(tensors[name] * tensors[name]) for name in sums]
        total = squares[0]
        for square in squares[1:]:
            total = total + square
        return {contract.NORM: tf.reshape(tf.sqrt(total), [1])}

    return ConvertedFunction(
        signature=contract.GRADIENT_NORM,
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables=sums,
    )


def apply(
    signature: str, variables: tuple[Variable, ...], used: tuple[Variable, ...]
) -> ConvertedFunction:
    """Converts `adam_apply` or `sgd_apply`: the sums times `scale` are the gradient of a step.

    Args:
      signature: contract.ADAM_APPLY or SGD_APPLY.
      variables: all that is trained.
      used: those that the loss depends on.
    """
    is_adam = signature == contract.ADAM_APPLY
    scalars = (
        SCALARS if is_adam else {name: SCALARS[name] for name in (contract.LR, contract.FACTOR)}
    )
    scalars = scalars | {contract.SCALE: Input((1,), tf.float32)}
    bound, assigned = {}, {}
    for v in variables:
        if v in used:
            extra = (sum_of(v), *(moments(v) if is_adam else ()))
        elif v.parameter.decays:
            extra = ()
        else:
            continue
        bound |= {w.name: w for w in (v, *extra)}
        assigned[f"o{v.stream}"] = v
        if v in used and is_adam:
            assigned[f"m{v.stream}"], assigned[f"v{v.stream}"] = moments(v)
    inputs = {name: Input(v.shape, tf.float32) for name, v in bound.items()} | scalars

    def graph(tensors):
        share, lr = tensors[contract.FACTOR] - 1.0, tensors[contract.LR]  # exact
        if is_adam:
            rate, root = bias_corrections(tensors[contract.STEP], lr)
        outputs = {contract.DONE: -tensors[contract.SCALE]}
        for v in variables:
            change = None
            if v in used:
                gradient = tensors[sum_of(v).name] * tensors[contract.SCALE]
                if is_adam:
                    m, s = new_moments(gradient, *(tensors[w.name] for w in moments(v)))
                    outputs[f"m{v.stream}"], outputs[f"v{v.stream}"] = m, s
                    change = adam_change(m, s, rate, root)
                else:
                    change = -lr * gradient
            if f"o{v.stream}" in assigned:
                outputs[f"o{v.stream}"] = moved(v, tensors[v.name], change, share)
        return outputs

    return ConvertedFunction(
        signature=signature,
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables=bound,
        assigned=assigned,
    )
