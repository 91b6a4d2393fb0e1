"""Pure functions of (inputs, weights) to TFLite subgraphs; the only file that knows the converter.

Weights are inputs while converting (docs/decisions/0001-weights-as-inputs.md).
"""

import tempfile
from dataclasses import dataclass

import tensorflow as tf

from pocketllm.runtime.errors import RunError

from ..private_interface import check_schema, keep_products_whole, schema


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

    Raises:
      InputError: a library differs from the tested versions in what none of them promises.
      RunError: the temporary folder is full.
    """
    check_schema()
    names = list(inputs)
    specs = [
        tf.TensorSpec(spec.shape, spec.dtype, name=f"i{number}")
        for number, spec in enumerate(inputs.values())
    ]
    traced = tf.function(
        lambda *tensors: function(dict(zip(names, tensors))),
        input_signature=specs,
        autograph=False,
    ).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], tf.Module())
    keep_products_whole(converter)
    flatbuffer = converter.convert()
    if not schema.Model.GetRootAs(flatbuffer, 0).SignatureDefsLength():
        # The converter saves the function in a temporary folder; where that fails it drops names.
        raise RunError(
            f"{tempfile.gettempdir()}: the converter cannot write its temporary files there; "
            "free some space or set TMPDIR to another folder"
        )
    return flatbuffer
