"""The gradient of a forward pass's loss, as TensorFlow ops that convert and are delegated.

Activations and layer norms bring their own derivatives
(docs/decisions/0011-derivatives-of-our-own.md).
"""

import tensorflow as tf

from pocketllm.runtime import contract

from .forward import ForwardGraph


def gradients_of(
    forward: ForwardGraph, tensors: dict[str, tf.Tensor]
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor | None]]:
    """Returns (what the forward pass computes, {variable name: gradient}).

    The gradient is None where the loss does not depend on a variable.

    A variable that is read twice, as a chunk of a head is, has the sum of both gradients.
    """
    read = {name: tensors[name] for name in forward.variables}
    with tf.GradientTape() as tape:
        tape.watch(read)
        outputs = forward.compute(tensors)
    gradients: dict[str, tf.Tensor | None] = {}
    for name, gradient in tape.gradient(outputs[contract.LOSS], read).items():
        variable = forward.variables[name].name
        other = gradients.get(variable)
        if other is not None:
            gradient = other if gradient is None else other + gradient
        gradients[variable] = gradient
    return outputs, gradients


def used_variables(forward: ForwardGraph) -> set[str]:
    """Returns the names of the variables that the loss depends on; traces, converts nothing."""
    names = list(forward.inputs)
    used = set()

    def trace(*tensors):
        outputs, gradients = gradients_of(forward, dict(zip(names, tensors)))
        used.update(name for name, gradient in gradients.items() if gradient is not None)
        return outputs[contract.LOSS]

    specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in forward.inputs.values()]
    tf.function(trace, input_signature=specs, autograph=False).get_concrete_function()
    return used
