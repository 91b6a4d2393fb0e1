"""Adam as one graph: forward, backward and the update of every variable (Kingma and Ba, 2015).

The update is that of torch.optim.AdamW: moments of the gradient, both corrected for starting at 0,
and a weight decay that is no part of the gradient (Loshchilov and Hutter, 2019).
"""

import math
from dataclasses import replace

import tensorflow as tf

from pocketllm.runtime import contract

from ..flatbuffer.convert import ConvertedFunction, Input, convert
from ..flatbuffer.variables import Variable
from .forward import ForwardGraph
from .gradients import gradients_of

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
SCALARS = {
    contract.LR: Input((1,), tf.float32),
    contract.STEP: Input((1,), tf.int32),
    contract.FACTOR: Input((1,), tf.float32),
}
# Prefix of a table's second reading: it is looked into before the delegate's work, updated after.
AGAIN = "again"


def moments(variable: Variable) -> tuple[Variable, Variable]:
    """Returns the variables that hold the first and second moment of another's gradient."""
    return tuple(replace(variable, name=f"adam/{which}/{variable.name}") for which in "mv")


def adam_step(
    forward: ForwardGraph,
    variables: tuple[Variable, ...],
    used: tuple[Variable, ...],
    tokens: int,
    aliases: tuple[str, ...] = (),
) -> ConvertedFunction:
    """Converts one step on a batch of the bucket of `tokens` tokens.

    Of the variables those that are not `used`, on which the loss does not depend (rows of an untied
    decoder that belong to no label word), have no moments: they decay, and nothing else would move
    them.
    """
    names = {v.name for v in used}
    bound, inputs = _bound(forward, variables, names)

    def graph(tensors):
        computed, gradients = gradients_of(forward, tensors)
        rate, root = bias_corrections(tensors[contract.STEP], tensors[contract.LR])
        share = tensors[contract.FACTOR] - 1.0  # exact
        outputs = {contract.LOSS: computed[contract.LOSS]}
        for v in variables:
            theta = tensors.get(f"{AGAIN}/{v.name}", tensors[v.name])
            if v.name in names:
                m, s = new_moments(gradients[v.name], *(tensors[w.name] for w in moments(v)))
                outputs[f"m{v.stream}"], outputs[f"v{v.stream}"] = m, s
                outputs[f"o{v.stream}"] = moved(v, theta, adam_change(m, s, rate, root), share)
            elif v.parameter.decays:
                outputs[f"o{v.stream}"] = moved(v, theta, None, share)
        return outputs

    # The gradients of the last layers are known first: used up first, few are alive at once.
    assigned = {}
    for v in reversed(variables):
        if v.name in names or v.parameter.decays:
            assigned[f"o{v.stream}"] = v
        if v.name in names:
            assigned[f"m{v.stream}"], assigned[f"v{v.stream}"] = moments(v)
    return ConvertedFunction(
        signature=contract.adam_step_for(tokens),
        flatbuffer=convert(graph, inputs),
        inputs=list(inputs),
        variables=bound,
        constants=forward.constants,
        assigned=assigned,
        aliases=aliases,
    )


def _bound(forward, variables, names):
    """Returns ({input name: variable}, {input name: Input}) of a step.

    To those of the forward pass it adds the moments, second readings of the tables, and the step's
    scalars.
    """
    bound = dict(forward.variables)
    inputs = forward.inputs | SCALARS
    for v in variables:
        added = {moment.name: moment for moment in moments(v)} if v.name in names else {}
        if v.parameter.kind == "table":
            added[f"{AGAIN}/{v.name}"] = v
        bound |= added
        inputs |= dict.fromkeys(added, forward.inputs[v.name])
    return bound, inputs


def new_moments(gradient, m, s):
    """Returns the first and second moment after a gradient."""
    m = m + (gradient - m) * (1 - BETA_1)
    return m, s * BETA_2 + gradient * gradient * (1 - BETA_2)


def adam_change(m, s, rate, root):
    """Returns what a step adds; rate and root are those of `bias_corrections`."""
    return -rate * m / (tf.sqrt(s) * root + EPSILON)


def moved(variable: Variable, theta, change, share):
    """Returns θ + share · θ + change, a change of None for 0, where the variable decays."""
    if not variable.parameter.decays:
        return theta + change
    # What decays is rounded together with the update: alone, a factor near 1 would move a value by
    # an ulp or not at all.
    return theta + (theta * share if change is None else theta * share + change)


def bias_corrections(step, lr):
    """Returns (lr / (1 - β1^step), 1 / √(1 - β2^step)), both [1].

    1 - β^t is -expm1(t ln β), and that is 2h / (1 + h) with h = tanh(-t ln β / 2): subtracting a
    power of 0.999 from 1 would cost five digits in the first steps.
    """
    t = tf.cast(step, tf.float32)
    halves = [tf.tanh(t * (-math.log(beta) / 2)) for beta in (BETA_1, BETA_2)]
    first, second = (2.0 * half / (1.0 + half) for half in halves)
    return lr / first, tf.math.rsqrt(second)
