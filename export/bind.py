"""Binding: the weight inputs of converted functions become variables or constants of one model.

Each READ_VARIABLE stands right before its first consumer and each ASSIGN_VARIABLE right after its
producer. Then, with delegate clustering off, XNNPACK fuses both away: no weight is copied, and a
perturbation happens in place.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pocketllm.runtime import contract

from .flatgraph import (
    Graph,
    add_signature,
    assign_variable,
    external_buffer,
    new_subgraph,
    opcode,
    operator,
    read_variable,
    tensor,
    variable_handle,
)
from .layout import Variable

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
      assigned: output name -> variable it is stored in; the other outputs are the signature's.
      aliases: further names of the signature.
    """

    signature: str
    flatbuffer: bytes
    inputs: list[str]
    variables: dict[str, Variable]
    constants: frozenset[str] = frozenset()
    assigned: dict[str, Variable] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


def bind(graph: Graph, function: Function) -> None:
    """Adds a converted function to the model, its weights bound."""
    source = schema.ModelT.InitFromObj(schema.Model.GetRootAs(function.flatbuffer, 0))
    subgraph = source.subgraphs[0]
    subgraph.name = function.signature.encode()
    _adopt(graph, source, subgraph)

    prologue, reads, writes = [], {}, defaultdict(list)
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
            handle = handle_of(function.variables[name])
            reads[index] = read_variable(graph, handle, index)
        elif name in function.constants:
            value = subgraph.tensors[index]
            size = int(np.prod(value.shape)) * NUMPY_TYPES[value.type]().itemsize
            value.buffer = external_buffer(graph, name, size)
        else:
            inputs[name] = index
    outputs = {}
    for entry in source.signatureDefs[0].outputs:
        name = entry.name.decode()
        if name in function.assigned:
            handle = handle_of(function.assigned[name])
            assign = assign_variable(graph, handle, entry.tensorIndex)
            writes[entry.tensorIndex].append(assign)
        else:
            outputs[name] = entry.tensorIndex

    operators = list(prologue)
    for made in _schedule(source, function):
        operators += [reads.pop(index) for index in made.inputs if index in reads]
        operators.append(made)
        operators += [assign for index in made.outputs for assign in writes.pop(index, [])]
    assert not writes, "an assigned output has no producer"
    subgraph.operators = operators
    for name in (function.signature, *function.aliases):
        add_signature(graph, name, subgraph, inputs, outputs)


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


def _schedule(source, function):
    """Orders the operators so that few intermediate results are alive at once.

    The converter works level by level: it would look into every chunk of a table before adding up
    the first two results, and draw every variable's noise before using any. Here each result is
    finished before the next is begun. Only what a forward pass derives from its inputs alone
    (positions, masks) comes first: it runs outside the delegate and would cut its partitions.
    """
    subgraph = source.subgraphs[0]
    producer = {index: made for made in subgraph.operators for index in made.outputs}
    ordered, placed = [], set()

    def put(made):
        ordered.append(made)
        placed.add(id(made))

    if not function.assigned:
        data = {i for i in subgraph.inputs if _input_name(subgraph, i, function) not in function.variables}
        for made in subgraph.operators:
            if all(i in data or i not in producer and i not in subgraph.inputs for i in made.inputs):
                data.update(made.outputs)
                put(made)
    for entry in source.signatureDefs[0].outputs:
        pending = [entry.tensorIndex]
        while pending:
            made = producer.get(pending[-1])
            if made is None or id(made) in placed:
                pending.pop()
                continue
            missing = [i for i in made.inputs if i in producer and id(producer[i]) not in placed]
            pending += reversed(missing)
            if not missing:
                put(made)
    return ordered


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


def _store(graph, subgraph, variable, value):
    handle, made = variable_handle(graph, subgraph, variable.name)
    subgraph.operators += [made, assign_variable(graph, handle, value)]


def _done(graph, subgraph):
    """Adds an output that is computed: an input or constant handed through is not portable."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.float32([-1.0]).tobytes(), np.uint8)
    graph.model.buffers.append(buffer)
    one = tensor(subgraph, "minus_one", [1], np.float32, len(graph.model.buffers) - 1)
    return _negated(graph, subgraph, one)


def _negated(graph, subgraph, value):
    done = tensor(subgraph, contract.DONE, [1], np.float32)
    negate = operator(
        graph, schema.BuiltinOperator.NEG, [value], [done], schema.NegOptionsT()
    )
    subgraph.operators.append(negate)
    return done
