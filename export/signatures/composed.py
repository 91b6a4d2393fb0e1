"""Signatures that run other signatures' graphs, one after the other, in one call.

An engine keeps some 3 kB of every operator, from the moment that it opens the file, and on a frozen
base that is most of its memory. So no work stands in two graphs
(docs/decisions/0047-graphs-that-are-called.md).
"""

from collections.abc import Mapping

import numpy as np

from pocketllm.runtime import contract

from ..flatbuffer.model import TfliteModel, add_signature
from ..flatbuffer.operators import add_constant, add_tensor, new_operator, new_subgraph
from ..private_interface import schema

BUILTINS = schema.BuiltinOperator
# A batch without any weight has sums of 0, which this makes no infinite number of.
SMALLEST_WEIGHT = 1e-30


def bind_composed_step(model: TfliteModel, tokens: int, aliases: tuple[str, ...] = ()) -> None:
    """Adds `adam_step_<tokens>`: a step of one micro-batch.

    Args:
      model: has `gradients_initialize`, `adam_accumulate_<tokens>` and `adam_apply`.
      tokens: length of the bucket.
      aliases: further names of the signature.
    """
    graph = _Caller(model, contract.adam_step_for(tokens))
    graph.call(contract.GRADIENTS_INITIALIZE)
    sums = graph.call(contract.adam_accumulate_for(tokens))
    smallest, unit = graph.constant("smallest", SMALLEST_WEIGHT), graph.constant("unit", 1.0)
    weight = [sums[contract.WEIGHT_SUM], smallest]
    divisor = graph.apply(BUILTINS.MAXIMUM, weight, schema.MaximumMinimumOptionsT())
    scale = graph.apply(BUILTINS.DIV, [unit, divisor], schema.DivOptionsT())
    graph.call(contract.ADAM_APPLY, given={contract.SCALE: scale})
    graph.finish({contract.LOSS: sums[contract.LOSS]}, aliases)


def bind_perturb_two(model: TfliteModel) -> None:
    """Adds `perturb_two`: two calls of `perturb_and_update`, which the model has."""
    graph = _Caller(model, contract.PERTURB_TWO)
    graph.call(contract.PERTURB_AND_UPDATE)
    second = {contract.SEED: contract.SEED_2, contract.SCALE: contract.SCALE_2}
    done = graph.call(contract.PERTURB_AND_UPDATE, named=second)
    graph.finish(done)


class _Caller:
    """A signature under construction, whose operators run in the order of the calls."""

    def __init__(self, model, signature):
        self._model, self._subgraph = model, new_subgraph(signature)
        self._inputs: dict[str, int] = {}
        self._true = add_constant(model, self._subgraph, "true", np.array([True]))

    def call(
        self, signature, *, given: Mapping[str, int] = {}, named: Mapping[str, str] = {}
    ) -> dict[str, int]:
        """Runs a signature's graph, as both branches of an IF; returns {output: tensor}.

        Args:
          signature: of the model.
          given: {input: tensor}; all other inputs are inputs of this signature too.
          named: {input: the name that it has here}.
        """
        (entry,) = [s for s in self._model.root.signatureDefs if s.signatureKey == signature]
        called = self._model.root.subgraphs[entry.subgraphIndex]
        tensors = []
        for place in _by_place(entry.inputs, called.inputs):
            name = named.get(place.name, place.name)
            if place.name not in given and name not in self._inputs:
                self._inputs[name] = self._tensor_like(called.tensors[place.tensorIndex], name)
            tensors.append(given[place.name] if place.name in given else self._inputs[name])
        outputs = {
            place.name: self._tensor_like(called.tensors[place.tensorIndex], place.name)
            for place in _by_place(entry.outputs, called.outputs)
        }
        options = schema.IfOptionsT()
        options.thenSubgraphIndex = options.elseSubgraphIndex = entry.subgraphIndex
        self._add(BUILTINS.IF, [self._true, *tensors], outputs.values(), options)
        return outputs

    def constant(self, name, value) -> int:
        """Adds a number, [1] float32; returns its tensor."""
        return add_constant(self._model, self._subgraph, name, np.float32([value]))

    def apply(self, builtin, operands, options) -> int:
        """Adds an operator on [1] float32; returns its result's tensor."""
        result = add_tensor(self._subgraph, contract.SCALE, [1], np.float32)
        self._add(builtin, operands, [result], options)
        return result

    def finish(self, outputs: dict[str, int], aliases=()) -> None:
        """Adds the signature to the model."""
        for name in (self._subgraph.name.decode(), *aliases):
            add_signature(self._model, name, self._subgraph, self._inputs, outputs)

    def _add(self, *parts):
        self._subgraph.operators.append(new_operator(self._model, *parts))

    def _tensor_like(self, other, name):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, other.shape, other.type, 0
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1


def _by_place(maps, tensors):
    """Returns a signature's entries in the order of its subgraph's tensors."""
    return sorted(maps, key=lambda entry: list(tensors).index(entry.tensorIndex))
