"""Pure functions of (inputs, weights) to TFLite subgraphs; the only file that knows the converter.

Weights are inputs while converting (docs/decisions/0001-weights-as-inputs.md); a converted function
says which of its inputs and outputs they are.
"""

import tempfile
from dataclasses import dataclass, field

import tensorflow as tf

from pocketllm.runtime.errors import RunError

from ..private_interface import NO_GRADIENTS, check_schema, configure, schema
from .constants import Constant
from .variables import Variable

SAVE_OPTIONS = tf.saved_model.SaveOptions(**NO_GRADIENTS)


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

    def save(folder):
        try:
            tf.saved_model.save(tf.Module(), folder, traced, SAVE_OPTIONS)
        except (OSError, tf.errors.OpError) as error:
            raise RunError(
                f"{tempfile.gettempdir()}: the converter cannot write its temporary files there; "
                "free some space or set TMPDIR to another folder"
            ) from error
        return traced.graph.as_graph_def()

    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], tf.Module())
    configure(converter, save)
    return converter.convert()


@dataclass(frozen=True)
class ConvertedFunction:
    """A function as `convert` returns it, to be bound to a model's variables and constants.

    Attributes:
      signature: the signature's name.
      flatbuffer: from `convert`; the input tensors are named i0, i1, …
      inputs: name of every input, in that order.
      variables: input name -> variable, for the inputs that are read from variables.
      constants: input name -> constant, for the inputs that are frozen parameters.
      noise: names of the inputs that are the noise's table and counters, each the external
        buffer of that key.
      assigned: output name -> variable that stores it, in the order to compute them in; the other
        outputs are the signature's.
      rows: input name -> chunks of a table, of which it is row `input_ids`.
      aliases: further names of the signature.
      is_pure: whether it is for accelerators, so that it is rewritten for them.
      inputs_first: whether all that depends on the inputs alone is computed before all else.
    """

    signature: str
    flatbuffer: bytes
    inputs: list[str]
    variables: dict[str, Variable]
    constants: dict[str, Constant] = field(default_factory=dict)
    noise: frozenset[str] = frozenset()
    assigned: dict[str, Variable] = field(default_factory=dict)
    rows: dict[str, tuple[Variable, ...]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    is_pure: bool = False
    inputs_first: bool = True


def inputs_of(function: ConvertedFunction, subgraph: schema.SubGraphT) -> dict[int, str]:
    """Returns {tensor index: name} of the inputs; the converter calls them i0, i1, …"""
    names = {}
    for index in subgraph.inputs:
        name = subgraph.tensors[index].name.decode().split(":")[0]
        number = name.removeprefix("serving_default_").removeprefix("i")
        names[index] = function.inputs[int(number)]
    return names


def outputs_of(source: schema.ModelT) -> dict[str, int]:
    """Returns {name: tensor index} of the outputs of a converted model's one signature."""
    return {entry.name.decode(): entry.tensorIndex for entry in source.signatureDefs[0].outputs}
