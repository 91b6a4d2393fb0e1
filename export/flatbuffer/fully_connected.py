"""Products with constant matrices: BATCH_MATMUL and ADD become one FULLY_CONNECTED."""

from collections import defaultdict

from ..private_interface import schema
from .model import TfliteModel
from .operators import builtin_of, new_operator

ADD = schema.BuiltinOperator.ADD
BATCH_MATMUL = schema.BuiltinOperator.BATCH_MATMUL
FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED
# Float rows with integer weights that have a scale an output.
HYBRID_VERSION = 12


def is_matmul(model: TfliteModel, operator: schema.OperatorT) -> bool:
    """Whether an operator is BATCH_MATMUL."""
    return builtin_of(model.root, operator) == BATCH_MATMUL


def connect_fully(model: TfliteModel, operator: schema.OperatorT, *, hybrid: bool) -> None:
    """Turns a BATCH_MATMUL whose second input is a constant [out, in] into FULLY_CONNECTED.

    Args:
      model: the model.
      operator: rewritten in place.
      hybrid: whether the matrix is quantised, so that the rows are quantised as they come.
    """
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims, options.asymmetricQuantizeInputs = True, hybrid
    inputs = [*operator.inputs, -1]  # no bias yet
    version = HYBRID_VERSION if hybrid else 1
    replacement = new_operator(
        model, FULLY_CONNECTED, inputs, operator.outputs, options, version=version
    )
    vars(operator).update(vars(replacement))


def fold_biases(model: TfliteModel, subgraph: schema.SubGraphT) -> None:
    """Gives each FULLY_CONNECTED the constant bias that is added to its result alone."""
    consumers = defaultdict(list)
    for operator in subgraph.operators:
        for index in operator.inputs:
            consumers[index].append(operator)
    folded = set()
    for operator in subgraph.operators:
        if builtin_of(model.root, operator) != FULLY_CONNECTED or operator.inputs[2] != -1:
            continue
        users = consumers[operator.outputs[0]]
        if len(users) != 1 or builtin_of(model.root, users[0]) != ADD:
            continue
        (bias,) = [index for index in users[0].inputs if index != operator.outputs[0]]
        tensor, matrix = subgraph.tensors[bias], subgraph.tensors[operator.inputs[1]]
        if tensor.buffer and list(tensor.shape) == list(matrix.shape[:1]):
            operator.inputs[2], operator.outputs = bias, users[0].outputs
            activation = users[0].builtinOptions.fusedActivationFunction
            operator.builtinOptions.fusedActivationFunction = activation
            folded.add(id(users[0]))
    subgraph.operators = [o for o in subgraph.operators if id(o) not in folded]
