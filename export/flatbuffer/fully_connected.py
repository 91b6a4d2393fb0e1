"""Products with constant matrices, rewritten: BATCH_MATMUL and ADD become one FULLY_CONNECTED."""

from collections import defaultdict

from ai_edge_litert import schema_py_generated as schema

from .graph import Graph, builtin_code, operator

ADD = schema.BuiltinOperator.ADD
BATCH_MATMUL = schema.BuiltinOperator.BATCH_MATMUL
FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED
# Of float rows with integer weights that have a scale an output.
HYBRID_VERSION = 12


def is_matmul(graph: Graph, made) -> bool:
    """Whether an operator is BATCH_MATMUL."""
    return builtin_code(graph.model, made) == BATCH_MATMUL


def connect_fully(graph: Graph, made, hybrid: bool) -> None:
    """Turns a BATCH_MATMUL whose second input is a constant [out, in] into FULLY_CONNECTED."""
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims, options.asymmetricQuantizeInputs = True, hybrid
    inputs = [*made.inputs, -1]
    version = HYBRID_VERSION if hybrid else 1
    replaced = operator(graph, FULLY_CONNECTED, inputs, made.outputs, options, version)
    vars(made).update(vars(replaced))


def fold_biases(graph: Graph, subgraph) -> None:
    """Gives each FULLY_CONNECTED the constant bias that is added to its result alone."""
    consumers = defaultdict(list)
    for made in subgraph.operators:
        for index in made.inputs:
            consumers[index].append(made)
    folded = set()
    for made in subgraph.operators:
        if builtin_code(graph.model, made) != FULLY_CONNECTED or made.inputs[2] != -1:
            continue
        users = consumers[made.outputs[0]]
        if len(users) != 1 or builtin_code(graph.model, users[0]) != ADD:
            continue
        (bias,) = [index for index in users[0].inputs if index != made.outputs[0]]
        held = subgraph.tensors[bias]
        if held.buffer and list(held.shape) == list(subgraph.tensors[made.inputs[1]].shape[:1]):
            made.inputs[2], made.outputs = bias, users[0].outputs
            activation = users[0].builtinOptions.fusedActivationFunction
            made.builtinOptions.fusedActivationFunction = activation
            folded.add(id(users[0]))
    subgraph.operators = [made for made in subgraph.operators if id(made) not in folded]
