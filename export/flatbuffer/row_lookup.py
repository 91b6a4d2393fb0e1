"""One row of a trained table: only the chunk that has the row is read.

GATHER runs outside the delegate, where READ_VARIABLE copies: a look-up in every chunk copies the
whole table. With an IF around each chunk's look-up, one chunk is copied
(docs/decisions/0040-one-row-of-a-trained-table.md).
"""

from collections.abc import Sequence

import numpy as np

from ..private_interface import schema
from .model import TfliteModel
from .operators import add_constant, add_handle, add_tensor, new_operator, new_read, new_subgraph
from .variables import Variable

BUILTINS = schema.BuiltinOperator


def look_up_row(
    model: TfliteModel, subgraph, ids: int, chunks: Sequence[Variable], row: int
) -> list[schema.OperatorT]:
    """Returns the operators of a look-up; adds a subgraph a chunk, and one more, to the model.

    Args:
      model: the model.
      subgraph: where the look-up stands.
      ids: tensor of the row's number, [1, 1] int32; a row that the table has.
      chunks: variables [rows, D] of the table, in row order.
      row: tensor that gets the row, [1, D] float32.
    """
    per_chunk, width = chunks[0].shape
    operators = []

    def constant(name, value):
        return add_constant(model, subgraph, f"row/{name}", value)

    def apply(builtin, inputs, dtype, options=None):
        result = add_tensor(subgraph, "row/number", [1], dtype)
        operators.append(new_operator(model, builtin, inputs, [result], options))
        return result

    # The row is number `within` of chunk `chunk`.
    flat, rows = constant("flat", np.int32([1])), constant("rows", np.int32([per_chunk]))
    number = apply(BUILTINS.RESHAPE, [ids, flat], np.int32, schema.ReshapeOptionsT())
    chunk = apply(BUILTINS.FLOOR_DIV, [number, rows], np.int32, schema.FloorDivOptionsT())
    within = apply(BUILTINS.FLOOR_MOD, [number, rows], np.int32, schema.FloorModOptionsT())

    # Each chunk in turn replaces the row that came so far, or passes it on.
    passed = _passing(model, width)
    so_far = constant("none", np.zeros((1, width), np.float32))
    for place, variable in enumerate(chunks):
        wanted = constant("chunk", np.int32([place]))
        inside = apply(BUILTINS.EQUAL, [chunk, wanted], bool, schema.EqualOptionsT())
        options = schema.IfOptionsT()
        options.thenSubgraphIndex = _looking(model, variable)
        options.elseSubgraphIndex = passed
        is_last = variable is chunks[-1]
        result = row if is_last else add_tensor(subgraph, "row", [1, width], np.float32)
        inputs = [inside, within, so_far]
        operators.append(new_operator(model, BUILTINS.IF, inputs, [result], options))
        so_far = result
    return operators


def _looking(model, variable):
    """Adds the subgraph that looks into one chunk; returns its index."""
    branch, within, _ = _branch(variable.name, variable.shape[1])
    table = add_tensor(branch, variable.name, variable.shape, np.float32)
    handle, operator = add_handle(model, branch, variable.name)
    inputs, options = [table, within], schema.GatherOptionsT()
    gather = new_operator(model, BUILTINS.GATHER, inputs, branch.outputs, options)
    return _add(model, branch, [operator, new_read(model, handle, table), gather])


def _passing(model, width):
    """Adds the subgraph that returns the row so far; returns its index.

    It multiplies by 1: version 2.14 of the interpreter has no branch that returns its input.
    """
    branch, _, so_far = _branch("row so far", width)
    factor = add_constant(model, branch, "factor", np.float32([1.0]))
    inputs, options = [so_far, factor], schema.MulOptionsT()
    return _add(model, branch, [new_operator(model, BUILTINS.MUL, inputs, branch.outputs, options)])


def _branch(name, width):
    """Returns (subgraph with inputs and output of a branch, number of the row, row so far)."""
    branch = new_subgraph(name)
    within = add_tensor(branch, "within", [1], np.int32)
    so_far = add_tensor(branch, "so_far", [1, width], np.float32)
    branch.inputs = [within, so_far]
    branch.outputs = [add_tensor(branch, "row", [1, width], np.float32)]
    return branch, within, so_far


def _add(model, branch, operators):
    branch.operators = operators
    model.root.subgraphs.append(branch)
    return len(model.root.subgraphs) - 1
