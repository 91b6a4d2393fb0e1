"""Every output of a signature is a tensor of its own that an operator computes.

A converter folds away what does nothing: the sum over a batch of one row is that row's weight, so
the output would be the input's own tensor, and CompiledModel would write over it
(docs/decisions/0010-no-output-is-an-input.md).
"""

import numpy as np

from pocketllm.runtime.errors import RunError

from ..private_interface import schema
from .model import TfliteModel
from .operators import add_constant, add_tensor, new_operator


def compute_outputs(source: schema.ModelT) -> None:
    """Gives each output of a converted model that no operator computes, or that has the tensor of
    another output, an operator: it is multiplied by 1.

    Args:
      source: with one subgraph and one signature; changed in place.
    """
    model, subgraph = TfliteModel(source), source.subgraphs[0]
    unused = {index for operator in subgraph.operators for index in operator.outputs}
    unit = None
    for entry in source.signatureDefs[0].outputs:
        index = entry.tensorIndex
        if index in unused:
            unused.remove(index)
            continue
        if unit is None:
            unit = add_constant(model, subgraph, "unit", np.float32([1.0]))
        tensor = subgraph.tensors[index]
        assert tensor.type == schema.TensorType.FLOAT32, entry.name
        name = tensor.name.decode() + "/output"
        entry.tensorIndex = add_tensor(subgraph, name, tensor.shape, np.float32)
        builtin = schema.BuiltinOperator.MUL
        subgraph.operators.append(
            new_operator(model, builtin, [index, unit], [entry.tensorIndex], schema.MulOptionsT())
        )


def check_outputs(model: TfliteModel) -> None:
    """Raises RunError unless every signature's outputs are computed, each a tensor of its own."""
    for signature in model.root.signatureDefs:
        subgraph = model.root.subgraphs[signature.subgraphIndex]
        unused = {index for operator in subgraph.operators for index in operator.outputs}
        for entry in signature.outputs:
            if entry.tensorIndex not in unused:
                raise RunError(
                    f"{_text(signature.signatureKey)}: output {_text(entry.name)} is an input, a "
                    "constant or another output, expected a tensor that an operator computes; "
                    "CompiledModel would overwrite it: this is a fault of the exporter, report it"
                )
            unused.remove(entry.tensorIndex)


def _text(name):
    """Returns a name of the schema, which is bytes once it was read from a flatbuffer."""
    return name.decode() if isinstance(name, bytes) else name
