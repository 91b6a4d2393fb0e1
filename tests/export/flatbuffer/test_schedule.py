"""The order of a signature's operators, on small graphs written by hand."""

from itertools import pairwise

import numpy as np
import pytest

pytestmark = pytest.mark.desktop

VARIABLES = ("v", "w")


class Sketch:
    """A converted function in the making: inputs x, v and w, and named results of operators."""

    def __init__(self):
        from pocketllm.export.flatbuffer import model, operators

        self.model = model.new_model("sketch")
        self.subgraph = operators.new_subgraph("sketch")
        self.names = ["x", *VARIABLES]
        self.places = {}
        for number, name in enumerate(self.names):
            self.places[name] = operators.add_tensor(self.subgraph, f"i{number}", [1], np.float32)

    def add(self, result, *inputs, kind="ADD"):
        """Appends an operator, where the converter would."""
        from ai_edge_litert.schema_py_generated import BuiltinOperator

        from pocketllm.export.flatbuffer.operators import add_tensor, new_operator

        self.places[result] = add_tensor(self.subgraph, result, [1], np.float32)
        places = [self.places[name] for name in inputs]
        builtin = getattr(BuiltinOperator, kind)
        self.subgraph.operators.append(
            new_operator(self.model, builtin, places, [self.places[result]])
        )

    def scheduled(self, *outputs, assigned=(), inputs_first=True):
        """Returns the results in the order of their operators.

        Args:
          outputs: results that are the signature's outputs, in order.
          assigned: (result, variable) pairs, in the order to compute them in.
          inputs_first: of the function.
        """
        from pocketllm.export.flatbuffer.convert import ConvertedFunction
        from pocketllm.export.flatbuffer.model import add_signature
        from pocketllm.export.flatbuffer.schedule import schedule
        from pocketllm.export.flatbuffer.variables import Variable
        from pocketllm.export.graph.parameters import Parameter

        variables = {
            name: Variable(name, (1,), Parameter(name, (1,), "vector", False), None, stream)
            for stream, name in enumerate(VARIABLES)
        }
        function = ConvertedFunction(
            signature="sketch",
            flatbuffer=b"",
            inputs=self.names,
            variables=variables,
            assigned={result: variables[name] for result, name in assigned},
            inputs_first=inputs_first,
        )
        results = [*outputs, *(result for result, _ in assigned)]
        inputs = {name: self.places[name] for name in self.names}
        # A parsed flatbuffer's names are bytes.
        named = {name.encode(): self.places[name] for name in results}
        add_signature(self.model, "sketch", self.subgraph, inputs, named)
        operators = schedule(self.model, self.model.root, function)
        return [self.subgraph.tensors[operator.outputs[0]].name.decode() for operator in operators]


def test_a_result_is_finished_before_the_next_is_begun():
    sketch = Sketch()
    for level in (("v1", "v", "x"), ("w1", "w", "x"), ("v2", "v1", "v1"), ("w2", "w1", "w1")):
        sketch.add(*level)
    sketch.add("sum", "v2", "w2")

    assert sketch.scheduled("sum") == ["v1", "v2", "w1", "w2", "sum"]


def test_operands_are_finished_in_the_order_in_which_they_are_written():
    sketch = Sketch()
    sketch.add("bias", "w", "x", kind="GATHER")
    sketch.add("logits", "v", "x")
    sketch.add("first", "logits", "bias")

    assert sketch.scheduled("first") == ["logits", "bias", "first"]


@pytest.mark.parametrize("inputs_first", [True, False])
def test_what_the_inputs_alone_determine_comes_first_in_a_forward_pass(inputs_first):
    sketch = Sketch()
    sketch.add("hidden", "v", "w")
    sketch.add("mask", "x", "x")
    sketch.add("masked", "hidden", "mask")
    expected = ["mask", "hidden"] if inputs_first else ["hidden", "mask"]

    assert sketch.scheduled("masked", inputs_first=inputs_first) == [*expected, "masked"]


def test_a_variable_is_overwritten_after_everything_else_has_read_it():
    sketch = Sketch()
    sketch.add("new_v", "v", "x")
    sketch.add("read_v", "v", "w")
    sketch.add("new_w", "read_v", "w")
    order = sketch.scheduled(assigned=[("new_v", "v"), ("new_w", "w")])

    assert order.index("read_v") < order.index("new_v")
    assert order == ["read_v", "new_v", "new_w"]


def test_what_depends_on_a_scatter_comes_last():
    sketch = Sketch()
    sketch.add("scattered", "v", "x", kind="SCATTER_ND")
    sketch.add("new_v", "v", "scattered")
    sketch.add("new_w", "w", "w")

    order = sketch.scheduled(assigned=[("new_v", "v"), ("new_w", "w")])
    assert order == ["new_w", "scattered", "new_v"]


def test_what_no_output_needs_is_left_out_behind_the_weights():
    sketch = Sketch()
    sketch.add("unused", "v", "w")
    sketch.add("used", "v", "x")

    assert sketch.scheduled("used") == ["used"]


def test_a_chain_longer_than_pythons_stack_is_ordered():
    sketch = Sketch()
    names = ["v", *(f"step{number}" for number in range(3000))]
    for before, after in pairwise(names):
        sketch.add(after, before, "x")

    assert sketch.scheduled(names[-1]) == names[1:]
