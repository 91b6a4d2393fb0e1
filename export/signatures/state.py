"""The signatures that move whole variables: initialize, read, write, decay, and those of zeros.

They are a few operators a variable, so they are written directly, without the converter.
"""

import numpy as np

from pocketllm.runtime import contract

from ..flatbuffer.model import TfliteModel, add_signature, external_buffer
from ..flatbuffer.operators import (
    add_constant,
    add_handle,
    add_tensor,
    new_assignment,
    new_operator,
    new_read,
    new_subgraph,
)
from ..flatbuffer.variables import Variable
from ..private_interface import schema


def bind_transfers(model: TfliteModel, slices: list[tuple[Variable, ...]]) -> None:
    """Adds `initialize_k`, `read_k` and `write_k` for every slice of variables.

    Initial values are external buffers under the variables' names.
    """
    for number, variables in enumerate(slices):
        initialize = new_subgraph(contract.numbered(contract.INITIALIZE, number))
        for variable in variables:
            buffer = external_buffer(model, variable.name, 4 * variable.size)
            value = add_tensor(initialize, variable.name, variable.shape, np.float32, buffer)
            _store(model, initialize, variable, value)
        done = _done(model, initialize)
        add_signature(model, initialize.name.decode(), initialize, {}, {contract.DONE: done})
    bind_copies(model, slices, contract.READ, contract.WRITE)


def bind_copies(
    model: TfliteModel, slices: list[tuple[Variable, ...]], reading: str, writing: str
) -> None:
    """Adds what takes every slice of variables out, and what puts it back.

    Args:
      model: gets the signatures.
      slices: the variables of each.
      reading: stem of the signatures that return one tensor a variable, with its name and shape.
      writing: stem of those that take them.
    """
    for number, variables in enumerate(slices):
        read = new_subgraph(contract.numbered(reading, number))
        outputs = {}
        for variable in variables:
            handle, operator = add_handle(model, read, variable.name)
            outputs[variable.name] = add_tensor(read, variable.name, variable.shape, np.float32)
            read.operators += [operator, new_read(model, handle, outputs[variable.name])]
        add_signature(model, read.name.decode(), read, {}, outputs)
    for number, variables in enumerate(slices):
        write = new_subgraph(contract.numbered(writing, number))
        inputs = {}
        for variable in variables:
            inputs[variable.name] = add_tensor(write, variable.name, variable.shape, np.float32)
            _store(model, write, variable, inputs[variable.name])
        done = _done(model, write)
        add_signature(model, write.name.decode(), write, inputs, {contract.DONE: done})


def bind_decay(model: TfliteModel, variables: list[Variable]) -> None:
    """Adds `decay`: every variable given is multiplied by `factor`, in place."""
    decay = new_subgraph(contract.DECAY)
    factor = add_tensor(decay, contract.FACTOR, [1], np.float32)
    for variable in variables:
        handle, operator = add_handle(model, decay, variable.name)
        value = add_tensor(decay, variable.name, variable.shape, np.float32)
        product = add_tensor(decay, f"{variable.name}/decayed", variable.shape, np.float32)
        multiply = new_operator(
            model, schema.BuiltinOperator.MUL, [value, factor], [product], schema.MulOptionsT()
        )
        read = new_read(model, handle, value)
        decay.operators += [operator, read, multiply, new_assignment(model, handle, product)]
    done = _negated(model, decay, factor)
    add_signature(model, contract.DECAY, decay, {contract.FACTOR: factor}, {contract.DONE: done})


def bind_zeros(model: TfliteModel, signature: str, variables: list[Variable]) -> None:
    """Adds a signature that sets every variable given to 0.

    One tensor of zeros serves all variables of a shape, so that the workspace stays small.
    """
    initialize = new_subgraph(signature)
    zero = add_constant(model, initialize, "zero", np.array(0.0, np.float32))
    for shape in dict.fromkeys(variable.shape for variable in variables):
        dims = add_constant(model, initialize, "shape", np.array(shape, np.int32))
        zeros = add_tensor(initialize, f"zeros/{'x'.join(map(str, shape))}", shape, np.float32)
        fill = new_operator(
            model, schema.BuiltinOperator.FILL, [dims, zero], [zeros], schema.FillOptionsT()
        )
        initialize.operators.append(fill)
        for variable in variables:
            if variable.shape == shape:
                _store(model, initialize, variable, zeros)
    done = _done(model, initialize)
    add_signature(model, signature, initialize, {}, {contract.DONE: done})


def _store(model, subgraph, variable, value):
    handle, operator = add_handle(model, subgraph, variable.name)
    subgraph.operators += [operator, new_assignment(model, handle, value)]


def _done(model, subgraph):
    """Adds an output that is computed (docs/decisions/0010-no-output-is-an-input.md)."""
    return _negated(model, subgraph, add_constant(model, subgraph, "minus_one", np.float32([-1.0])))


def _negated(model, subgraph, value):
    done = add_tensor(subgraph, contract.DONE, [1], np.float32)
    negate = new_operator(model, schema.BuiltinOperator.NEG, [value], [done], schema.NegOptionsT())
    subgraph.operators.append(negate)
    return done
