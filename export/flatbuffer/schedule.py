"""The order of a signature's operators, which decides how much memory a call takes.

Any order in which producers come before consumers computes the same. The converter's goes level by
level: it looks into every chunk of a table before it adds up the first two results, and draws the
noise of every variable before it uses any, so that all of these are alive at once. Three rules give
an order with little alive (docs/decisions/0004-read-variable-before-its-consumer.md):

1. A result is finished before the next one is begun: depth first, from the outputs.
2. A forward pass first computes what its inputs alone determine (positions, masks): that runs
   outside the delegate, and in the middle it would cut a partition in two.
3. A variable is overwritten after everything else has read it: then neither the reading nor the
   writing copies it.
"""

import math
from collections import defaultdict

from pocketllm.runtime import contract

from ..graph.recompute import BARRIER
from ..private_interface import schema
from .convert import ConvertedFunction, inputs_of, outputs_of
from .delegate import without_barriers
from .model import TfliteModel
from .operators import builtin_of

FLOAT32 = schema.TensorType.FLOAT32


def schedule(
    model: TfliteModel, source: schema.ModelT, function: ConvertedFunction
) -> list[schema.OperatorT]:
    """Orders the operators of a converted function.

    Args:
      model: the model that the operators' codes belong to.
      source: the converted model, with one subgraph and one signature.
      function: which inputs are weights, and which outputs are stored in variables.

    Returns:
      The operators that the outputs need, without barriers.
    """
    subgraph = source.subgraphs[0]
    producers = {i: operator for operator in subgraph.operators for i in operator.outputs}
    readers = _readers_of_old_values(source, function, producers)
    ordered = _of_inputs_alone(model, subgraph, function) if function.inputs_first else []
    placed = {id(operator) for operator in ordered}

    for output in _in_order(model, source, function):
        # Depth first, on a stack of our own: a deep model exceeds Python's recursion limit.
        pending = [output]
        while pending:
            operator = producers.get(pending[-1])
            if operator is None or id(operator) in placed:
                pending.pop()
                continue
            needed = [i for i in operator.inputs if i in producers]
            needed += readers.get(id(operator), [])
            missing = [i for i in needed if id(producers[i]) not in placed]
            if missing:
                pending += reversed(missing)  # the first operand is finished first
            else:
                ordered.append(operator)
                placed.add(id(operator))
    barriers = [i for i, name in inputs_of(function, subgraph).items() if name == BARRIER]
    return without_barriers(model, subgraph, ordered, barriers[0]) if barriers else ordered


def _of_inputs_alone(model, subgraph, function):
    """Returns the operators that depend on no weight, no probe and no grid, in their order."""
    weights = function.variables.keys() | function.constants.keys() | function.rows.keys()
    # What the size of a probe multiplies, the delegate computes right beside what is added to it.
    weights |= {contract.EPS}
    names = inputs_of(function, subgraph)
    weighted = {index for index, name in names.items() if name in weights}
    operators = []
    for operator in subgraph.operators:
        if weighted.isdisjoint(operator.inputs) and not _is_grid(model, subgraph, operator):
            operators.append(operator)
        else:
            weighted.update(operator.outputs)
    return operators


def _is_grid(model, subgraph, operator):
    """Whether an operator takes a row of numbers from a column of numbers.

    The delegate takes it, and all chunks of a vocabulary at once would be a tensor [tokens, V].
    """
    if builtin_of(model.root, operator) != schema.BuiltinOperator.SUB:
        return False
    result, *operands = [
        math.prod(subgraph.tensors[index].shape)
        for index in (operator.outputs[0], *operator.inputs)
    ]
    return result > max(operands) and subgraph.tensors[operator.outputs[0]].type == FLOAT32


def _in_order(model, source, function):
    """Returns the outputs in the order to finish them: the signature's own, then the assigned.

    Those of a backward pass that depend on SCATTER_ND come last: it runs outside the delegate, so
    it ends the partition.
    """
    outputs = outputs_of(source)
    ordered = [index for name, index in outputs.items() if name not in function.assigned]
    ordered += [outputs[name] for name in function.assigned]
    scattered = _dependents(model, source.subgraphs[0], schema.BuiltinOperator.SCATTER_ND)
    return sorted(ordered, key=scattered.__contains__)


def _dependents(model, subgraph, builtin):
    """Returns the results that depend on a built-in operator, its own included."""
    results = set()
    for operator in subgraph.operators:
        is_first = builtin_of(model.root, operator) == builtin
        if is_first or not results.isdisjoint(operator.inputs):
            results.update(operator.outputs)
    return results


def _readers_of_old_values(source, function, producers):
    """For each assignment, returns the readers that must run before it.

    Returns:
      {id of the operator whose result is assigned: results of the variable's other readers}.
    """
    subgraph = source.subgraphs[0]
    variables = {
        index: function.variables[name].name
        for index, name in inputs_of(function, subgraph).items()
        if name in function.variables
    }
    readers = defaultdict(list)
    for operator in subgraph.operators:
        for name in {variables[index] for index in operator.inputs if index in variables}:
            readers[name].append(operator)
    earlier = {}
    for name, index in outputs_of(source).items():
        if name in function.assigned:
            writer = producers[index]
            others = readers[function.assigned[name].name]
            earlier[id(writer)] = [o.outputs[0] for o in others if o is not writer]
    return earlier
