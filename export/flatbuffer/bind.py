"""Binding: the weight inputs of a converted function become variables or constants of one model.

Each READ_VARIABLE stands right before its consumer and each ASSIGN_VARIABLE right after its
producer: then XNNPACK fuses both away (docs/decisions/0004-read-variable-before-its-consumer.md).
"""

from copy import copy

import numpy as np

from pocketllm.runtime import contract

from ..graph.recompute import BARRIER
from ..private_interface import schema
from .accelerator import rewrite_for_accelerators
from .bind_constant import bind_constant, fold_biases
from .convert import ConvertedFunction, inputs_of, outputs_of
from .delegate import rewrite_for_delegate
from .model import TfliteModel, add_signature, external_buffer, operator_code
from .operators import TYPES, add_handle, new_assignment, new_read
from .outputs import compute_outputs
from .row_lookup import look_up_row
from .schedule import schedule

ITEM_BYTES = {kind: dtype.itemsize for dtype, kind in TYPES.items()}


def bind(model: TfliteModel, function: ConvertedFunction) -> None:
    """Adds a converted function to a model, as a subgraph with one signature and its aliases.

    Args:
      model: the model; grows by the subgraph, by operator codes and by buffers.
      function: the converted function.
    """
    source = schema.ModelT.InitFromObj(schema.Model.GetRootAs(function.flatbuffer, 0))
    subgraph = source.subgraphs[0]
    subgraph.name = function.signature.encode()
    rewrite_for_delegate(source)
    compute_outputs(source)
    _adopt(model, source)
    # One VAR_HANDLE a variable, ahead of everything: its readings and its assignment share it.
    handles: dict[str, int] = {}
    operators = []

    def handle_of(variable):
        if variable.name not in handles:
            handles[variable.name], operator = add_handle(model, subgraph, variable.name)
            operators.append(operator)
        return handles[variable.name]

    # Weights and noise stop being inputs; what is left are the signature's own.
    inputs, read, rows, constants = {}, {}, {}, {}
    for index, name in inputs_of(function, subgraph).items():
        if name in function.variables:
            read[index] = handle_of(function.variables[name])
        elif name in function.noise:
            _bind_noise(model, subgraph.tensors[index], name)
        elif name in function.constants:
            constants[index] = function.constants[name]
            bind_constant(model, subgraph, index, constants[index])
        elif name in function.rows:
            rows[index] = function.rows[name]
        elif name != BARRIER:
            inputs[name] = index
    if function.is_pure:
        rewrite_for_accelerators(model, subgraph, constants)
    # Only now are the biases known to be constants, which FULLY_CONNECTED adds by itself.
    if function.constants:
        fold_biases(model, subgraph)
    for index, chunks in rows.items():
        operators += look_up_row(model, subgraph, inputs[contract.INPUT_IDS], chunks, index)

    outputs, assigned = _results(source, function)
    written = {index: handle_of(variable) for index, variable in assigned.items()}
    # Readings and assignments go directly beside the operators they serve: there they fuse.
    for operator in schedule(model, source, function):
        operators += _readings(model, subgraph, operator, read)
        operators.append(operator)
        for index in operator.outputs:
            if index in written:
                operators.append(new_assignment(model, written[index], index))
                read[index] = written.pop(index)  # other consumers of the result read the variable
    assert not written, "an assigned output has no producer"
    subgraph.operators = operators
    for name in (function.signature, *function.aliases):
        add_signature(model, name, subgraph, inputs, outputs)


def _results(source, function):
    """Returns ({name: tensor index} of the outputs, {tensor index: variable that stores it})."""
    results = outputs_of(source)
    outputs = {name: index for name, index in results.items() if name not in function.assigned}
    return outputs, {results[name]: variable for name, variable in function.assigned.items()}


def _adopt(model, source):
    """Moves the operator codes and buffers of a converted model into the model, equal ones once."""
    codes = {
        index: operator_code(model, max(code.builtinCode, code.deprecatedBuiltinCode), code.version)
        for index, code in enumerate(source.operatorCodes)
    }
    subgraph = source.subgraphs[0]
    for operator in subgraph.operators:
        operator.opcodeIndex = codes[operator.opcodeIndex]
    buffers = {b"": 0}
    for tensor in subgraph.tensors:
        data = source.buffers[tensor.buffer].data
        values = b"" if data is None else bytes(data)
        if values not in buffers:
            model.root.buffers.append(source.buffers[tensor.buffer])
            buffers[values] = len(model.root.buffers) - 1
        tensor.buffer = buffers[values]


def _bind_noise(model, tensor, key):
    """Makes an input tensor the constant in the external buffer of `key`."""
    size = int(np.prod(tensor.shape)) * ITEM_BYTES[tensor.type]
    tensor.buffer = external_buffer(model, key, size)


def _readings(model, subgraph, operator, read):
    """Returns the READ_VARIABLEs of an operator, each into a tensor of the operator's own.

    A result of READ_VARIABLE with two consumers would be a copy.
    """
    readings = []
    operator.inputs = list(operator.inputs)
    for place, index in enumerate(operator.inputs):
        if index in read:
            subgraph.tensors.append(copy(subgraph.tensors[index]))
            operator.inputs[place] = len(subgraph.tensors) - 1
            readings.append(new_read(model, read[index], operator.inputs[place]))
    return readings
