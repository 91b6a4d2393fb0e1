"""The signatures that move whole variables: initialize, read, write, decay, adam_initialize.


They are a few operators a variable, so they are written directly, without the converter.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketllm.runtime import contract

from ..flatbuffer.graph import (
    Graph,
    add_signature,
    assign_variable,
    constant,
    external_buffer,
    new_subgraph,
    operator,
    read_variable,
    tensor,
    variable_handle,
)
from ..flatbuffer.variables import Variable


def bind_transfers(graph: Graph, slices: list[tuple[Variable, ...]]) -> None:
    """Adds `initialize_k`, `read_k` and `write_k` for every slice of variables.

    Initial values are external buffers keyed by variable name. `read_k` returns, and `write_k`
    takes, one tensor a variable, named and shaped like it.
    """
    for number, variables in enumerate(slices):
        initialize = new_subgraph(contract.numbered(contract.INITIALIZE, number))
        for variable in variables:
            buffer = external_buffer(graph, variable.name, 4 * variable.size)
            value = tensor(initialize, variable.name, variable.shape, np.float32, buffer)
            _store(graph, initialize, variable, value)
        done = _done(graph, initialize)
        add_signature(graph, initialize.name.decode(), initialize, {}, {contract.DONE: done})
    for number, variables in enumerate(slices):
        read = new_subgraph(contract.numbered(contract.READ, number))
        outputs = {}
        for variable in variables:
            handle, made = variable_handle(graph, read, variable.name)
            outputs[variable.name] = tensor(read, variable.name, variable.shape, np.float32)
            read.operators += [made, read_variable(graph, handle, outputs[variable.name])]
        add_signature(graph, read.name.decode(), read, {}, outputs)
    for number, variables in enumerate(slices):
        write = new_subgraph(contract.numbered(contract.WRITE, number))
        inputs = {}
        for variable in variables:
            inputs[variable.name] = tensor(write, variable.name, variable.shape, np.float32)
            _store(graph, write, variable, inputs[variable.name])
        done = _done(graph, write)
        add_signature(graph, write.name.decode(), write, inputs, {contract.DONE: done})


def bind_decay(graph: Graph, variables: list[Variable]) -> None:
    """Adds `decay`: every variable given is multiplied by `factor`, in place."""
    decay = new_subgraph(contract.DECAY)
    factor = tensor(decay, contract.FACTOR, [1], np.float32)
    for variable in variables:
        handle, made = variable_handle(graph, decay, variable.name)
        value = tensor(decay, variable.name, variable.shape, np.float32)
        product = tensor(decay, f"{variable.name}/decayed", variable.shape, np.float32)
        multiply = operator(
            graph, schema.BuiltinOperator.MUL, [value, factor], [product], schema.MulOptionsT()
        )
        read = read_variable(graph, handle, value)
        decay.operators += [made, read, multiply, assign_variable(graph, handle, product)]
    done = _negated(graph, decay, factor)
    add_signature(graph, contract.DECAY, decay, {contract.FACTOR: factor}, {contract.DONE: done})


def bind_adam_initialize(graph: Graph, variables: list[Variable]) -> None:
    """Adds `adam_initialize`: sets every variable given to 0.

    One tensor of zeros serves all variables of a shape, so that the workspace stays small.
    """
    initialize = new_subgraph(contract.ADAM_INITIALIZE)
    zero = constant(graph, initialize, "zero", np.array(0.0, np.float32))
    for shape in dict.fromkeys(variable.shape for variable in variables):
        dims = constant(graph, initialize, "shape", np.array(shape, np.int32))
        zeros = tensor(initialize, f"zeros/{'x'.join(map(str, shape))}", shape, np.float32)
        fill = operator(
            graph, schema.BuiltinOperator.FILL, [dims, zero], [zeros], schema.FillOptionsT()
        )
        initialize.operators.append(fill)
        for variable in variables:
            if variable.shape == shape:
                _store(graph, initialize, variable, zeros)
    done = _done(graph, initialize)
    add_signature(graph, contract.ADAM_INITIALIZE, initialize, {}, {contract.DONE: done})


def _store(graph, subgraph, variable, value):
    handle, made = variable_handle(graph, subgraph, variable.name)
    subgraph.operators += [made, assign_variable(graph, handle, value)]


def _done(graph, subgraph):
    """Adds an output that is computed: an input or constant handed through is not portable."""
    return _negated(graph, subgraph, constant(graph, subgraph, "minus_one", np.float32([-1.0])))


def _negated(graph, subgraph, value):
    done = tensor(subgraph, contract.DONE, [1], np.float32)
    negate = operator(graph, schema.BuiltinOperator.NEG, [value], [done], schema.NegOptionsT())
    subgraph.operators.append(negate)
    return done
