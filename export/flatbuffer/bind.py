"""Binding: the weight inputs of converted functions become variables or constants of one model.

Each READ_VARIABLE stands right before its first consumer and each ASSIGN_VARIABLE right after its
producer. Then, with delegate clustering off, XNNPACK fuses both away: no weight is copied, and a
perturbation happens in place.
"""

from collections import defaultdict
from copy import copy
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from .constants import Constant, bind_constant
from .delegate import for_the_delegate
from .fully_connected import fold_biases
from .graph import (
    Graph,
    add_signature,
    assign_variable,
    builtin_code,
    external_buffer,
    opcode,
    read_variable,
    variable_handle,
)
from .variables import Variable

NUMPY_TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.UINT32: np.uint32,
}


@dataclass(frozen=True)
class Function:
    """A converted function and what its inputs and outputs are.

    Attributes:
      signature: the signature's name.
      flatbuffer: from `convert`, input tensors named i0, i1, …
      inputs: every input's name, in that order.
      variables: input name -> variable, for the inputs that are read from variables.
      constants: names of the inputs that are constants, held in the external buffer of that key.
      assigned: output name -> variable it is stored in, in the order to compute them in; the
        other outputs are the signature's.
      aliases: further names of the signature.
      frozen: input name -> frozen parameter it is, or chunk of one.
      inputs_first: what depends on the inputs alone is computed before all else.
    """

    signature: str
    flatbuffer: bytes
    inputs: list[str]
    variables: dict[str, Variable]
    constants: frozenset[str] = frozenset()
    assigned: dict[str, Variable] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    frozen: dict[str, Constant] = field(default_factory=dict)
    inputs_first: bool = True


def bind(graph: Graph, function: Function) -> None:
    """Adds a converted function to the model, its weights bound."""
    source = schema.ModelT.InitFromObj(schema.Model.GetRootAs(function.flatbuffer, 0))
    subgraph = source.subgraphs[0]
    subgraph.name = function.signature.encode()
    for_the_delegate(source)
    _adopt(graph, source, subgraph)

    prologue, reads, writes = [], {}, {}
    handles: dict[str, int] = {}

    def handle_of(variable):
        if variable.name not in handles:
            handles[variable.name], made = variable_handle(graph, subgraph, variable.name)
            prologue.append(made)
        return handles[variable.name]

    inputs = {}
    for index in subgraph.inputs:
        name = _input_name(subgraph, index, function)
        if name in function.variables:
            reads[index] = handle_of(function.variables[name])
        elif name in function.constants:
            value = subgraph.tensors[index]
            size = int(np.prod(value.shape)) * NUMPY_TYPES[value.type]().itemsize
            value.buffer = external_buffer(graph, name, size)
        elif name in function.frozen:
            bind_constant(graph, subgraph, index, function.frozen[name])
        else:
            inputs[name] = index
    if function.frozen:
        fold_biases(graph, subgraph)
    outputs = {}
    for entry in source.signatureDefs[0].outputs:
        name = entry.name.decode()
        if name in function.assigned:
            handle = handle_of(function.assigned[name])
            writes[entry.tensorIndex] = handle
        else:
            outputs[name] = entry.tensorIndex

    operators = list(prologue)
    for made in _schedule(graph.model, source, function):
        operators += _readings(graph, subgraph, made, reads)
        operators.append(made)
        for index in made.outputs:
            if index in writes:
                operators.append(assign_variable(graph, writes[index], index))
                reads[index] = writes.pop(index)  # by whatever else takes this result
    assert not writes, "an assigned output has no producer"
    subgraph.operators = operators
    for name in (function.signature, *function.aliases):
        add_signature(graph, name, subgraph, inputs, outputs)


def _schedule(model, source, function):
    """Orders the operators so that few intermediate results are alive at once.

    The converter works level by level: it would look into every chunk of a table before adding up
    the first two results, and draw every variable's noise before using any. Here each result is
    finished before the next is begun. Only what a forward pass derives from its inputs alone
    (positions, masks) comes first: it runs outside the delegate and would cut its partitions.
    What overwrites a variable comes after everything else that reads it: neither the reading nor
    the writing copies it.
    """
    subgraph = source.subgraphs[0]
    producer = {index: made for made in subgraph.operators for index in made.outputs}
    earlier = _earlier(source, function, producer)
    ordered, placed = [], set()

    def put(made):
        ordered.append(made)
        placed.add(id(made))

    if function.inputs_first:
        weights = function.variables.keys() | function.frozen.keys()
        weighted = {i for i in subgraph.inputs if _input_name(subgraph, i, function) in weights}
        for made in subgraph.operators:
            if weighted.isdisjoint(made.inputs):
                put(made)
            else:
                weighted.update(made.outputs)
    places = {entry.name.decode(): entry.tensorIndex for entry in source.signatureDefs[0].outputs}
    asked = [places[name] for name in places if name not in function.assigned]
    asked += [places[name] for name in function.assigned]
    # Of a backward pass: SCATTER_ND runs outside the delegate too, so it ends it.
    scattered = _after(model, subgraph, schema.BuiltinOperator.SCATTER_ND)
    for output in sorted(asked, key=lambda index: index in scattered):
        pending = [output]
        while pending:
            made = producer.get(pending[-1])
            if made is None or id(made) in placed:
                pending.pop()
                continue
            needed = [i for i in made.inputs if i in producer] + earlier.get(id(made), [])
            missing = [i for i in needed if id(producer[i]) not in placed]
            pending += reversed(missing)
            if not missing:
                put(made)
    return ordered


def _readings(graph, subgraph, made, reads):
    """Returns the READ_VARIABLEs of an operator, each into a tensor of the operator's own.

    A result of READ_VARIABLE with two consumers would be a copy.
    """
    found = []
    made.inputs = list(made.inputs)
    for place, index in enumerate(made.inputs):
        if index in reads:
            value = copy(subgraph.tensors[index])
            subgraph.tensors.append(value)
            made.inputs[place] = len(subgraph.tensors) - 1
            found.append(read_variable(graph, reads[index], made.inputs[place]))
    return found


def _after(model, subgraph, kind):
    """Returns the results that depend on an operator of some kind, its own included."""
    found = set()
    for made in subgraph.operators:
        if builtin_code(model, made) == kind or not found.isdisjoint(made.inputs):
            found.update(made.outputs)
    return found


def _earlier(source, function, producer):
    """Returns {id of the producer of an assigned value: results that need the old value}."""
    subgraph = source.subgraphs[0]
    variables = {
        index: function.variables[name].name
        for index in subgraph.inputs
        if (name := _input_name(subgraph, index, function)) in function.variables
    }
    readers = defaultdict(list)
    for made in subgraph.operators:
        for name in {variables[index] for index in made.inputs if index in variables}:
            readers[name].append(made)
    found = {}
    for entry in source.signatureDefs[0].outputs:
        variable = function.assigned.get(entry.name.decode())
        if variable:
            writer = producer[entry.tensorIndex]
            others = [made for made in readers[variable.name] if made is not writer]
            found[id(writer)] = [made.outputs[0] for made in others]
    return found


def _adopt(graph, source, subgraph):
    """Moves the operator codes and buffers of a converted model into the graph."""
    codes = {
        index: opcode(graph, max(code.builtinCode, code.deprecatedBuiltinCode), code.version)
        for index, code in enumerate(source.operatorCodes)
    }
    for made in subgraph.operators:
        made.opcodeIndex = codes[made.opcodeIndex]
    buffers = {}
    for held in subgraph.tensors:
        data = source.buffers[held.buffer].data
        if data is None or not len(data):
            held.buffer = 0
            continue
        if held.buffer not in buffers:
            graph.model.buffers.append(source.buffers[held.buffer])
            buffers[held.buffer] = len(graph.model.buffers) - 1
        held.buffer = buffers[held.buffer]


def _input_name(subgraph, index, function):
    """Returns the function's name of input tensor `index`; the converter calls it i0, i1, …"""
    name = subgraph.tensors[index].name.decode().split(":")[0].removeprefix("serving_default_")
    return function.inputs[int(name.removeprefix("i"))]
