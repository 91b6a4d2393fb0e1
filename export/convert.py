"""Pure functions of (inputs, weights) to TFLite subgraphs; the only file that knows the converter.

Weights are inputs while converting, so the converter never sees a value: RoBERTa-large takes
seconds and stays small, where tf.Variables holding values took 24 GB.
"""

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Input:
    """One input of a function to convert: shape and a TensorFlow dtype."""

    shape: tuple[int, ...]
    dtype: tf.DType


def convert(function, inputs: dict[str, Input]) -> bytes:
    """Converts one function to a TFLite model with one subgraph.

    Args:
      function: takes {input name: tensor}, returns {output name: tensor}.
      inputs: names (any strings) and specs of the inputs.

    Returns:
      A flatbuffer whose input tensors are named `i0`, `i1`, … in the order of `inputs` and whose
      outputs are named in its one signature.
    """
    names = list(inputs)
    specs = [
        tf.TensorSpec(spec.shape, spec.dtype, name=f"i{number}")
        for number, spec in enumerate(inputs.values())
    ]
    traced = tf.function(
        lambda *tensors: function(dict(zip(names, tensors))), input_signature=specs
    ).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], tf.Module())
    # Unfolded, products with weights that are not constant leave BATCH_MATMUL, six times slower.
    converter.unfold_batchmatmul = False
    converter._experimental_unfold_batchmatmul = False
    return converter.convert()
