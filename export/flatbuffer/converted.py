"""A converted function, and which of its inputs and outputs are weights."""

from dataclasses import dataclass, field

from ..private_interface import schema
from .constants import Constant
from .variables import Variable


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
