"""Forward passes without variables: of what accelerators take, and the losses of the others."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from frozen_cases import CASES, export_case, inputs_of, models_of
from model_parts import read_whole
from tuned import random_state

from pocketllm.runtime.contract import (
    FORWARD_PURE,
    FORWARD_PURE_PAIR,
    LOGITS,
    LOSS,
    WEIGHT_SUM,
    forward_loss_for,
    forward_pair_for,
    forward_pure_for,
    forward_pure_pair_for,
)

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-6  # measured: no bit of any case differs
HALF_MAXIMUM = 65504
SEED, EPS = 12345, 2e-2
BUILTINS = {code: name for name, code in vars(schema.BuiltinOperator).items()}
TYPES = {code: name for name, code in vars(schema.TensorType).items()}
STATEFUL = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE", "IF", "WHILE"}


@pytest.fixture
def exported(request):
    """Exports a case of frozen_cases."""
    return lambda case: export_case(case, request.getfixturevalue)


@pytest.fixture
def trains_all(make_checkpoint, make_bundle):
    """A bundle of which everything is trained, its tables and matrices in chunks."""
    return make_bundle(make_checkpoint(), chunk_values=16 * 100, linear_values=200, pure=True)


def pure_graphs(bundle):
    """Yields (signature, its entry, its subgraph, the model) of the pure forms."""
    model = read_whole(bundle.model_path)
    for entry in model.signatureDefs:
        if entry.signatureKey.decode().startswith(FORWARD_PURE):
            yield entry.signatureKey.decode(), entry, model.subgraphs[entry.subgraphIndex], model


def operators_of(subgraph, model):
    """Yields (name, operator) in order."""
    for operator in subgraph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        yield BUILTINS[max(code.builtinCode, code.deprecatedBuiltinCode)], operator


def check_graph(subgraph, entry, model):
    """Asserts that a compiler of an accelerator finds nothing it cannot take."""
    fixed, inputs = set(), {place.tensorIndex for place in entry.inputs}
    for index, tensor in enumerate(subgraph.tensors):
        if tensor.buffer and index not in inputs:
            fixed.add(index)
    for name, operator in operators_of(subgraph, model):
        used = [index for index in [*operator.inputs, *operator.outputs] if index >= 0]
        tensors = [subgraph.tensors[index] for index in used]
        assert name not in STATEFUL | {"CUMSUM"}
        assert {TYPES[t.type] for t in tensors} <= {"FLOAT32", "INT32", "BOOL", "INT8", "INT4"}
        for tensor in tensors:
            shape = [] if tensor.shape is None else list(tensor.shape)
            assert len(shape) <= 4 and all(size > 0 for size in shape)
            assert tensor.shapeSignature is None or list(tensor.shapeSignature) == shape, "static"
            check_constant(tensor, model)
        if name == "GATHER":
            assert TYPES[tensors[0].type] == "FLOAT32"
        assert not fixed.issuperset(i for i in operator.inputs if i >= 0), f"{name} of constants"
    results = [place.tensorIndex for place in entry.outputs]
    assert inputs.isdisjoint(results) and len(set(results)) == len(results)


def check_constant(tensor, model):
    """Asserts that half precision holds every number that is fixed."""
    data = model.buffers[tensor.buffer].data
    if TYPES[tensor.type] == "FLOAT32" and data is not None:
        values = np.frombuffer(bytes(data), np.float32)
        assert values.size and np.abs(values).max() <= HALF_MAXIMUM


@pytest.mark.parametrize("case", CASES)
def test_a_pure_graph_has_only_what_accelerators_take(case, exported):
    bundle, names = exported(case), set()
    for name, entry, subgraph, model in pure_graphs(bundle):
        check_graph(subgraph, entry, model)
        names.add(name)

    buckets = [
        name(n) for n in bundle.lengths for name in (forward_pure_for, forward_pure_pair_for)
    ]
    assert names == {FORWARD_PURE, FORWARD_PURE_PAIR, *buckets}


def test_a_table_of_integers_is_looked_up_in_one_operator(exported):
    for _, _, subgraph, model in pure_graphs(exported("modernbert, lora")):
        (lookup,) = [o for name, o in operators_of(subgraph, model) if name == "EMBEDDING_LOOKUP"]
        table = subgraph.tensors[lookup.inputs[1]]
        assert TYPES[table.type] == "INT8"
        assert len(table.quantization.scale) == table.shape[0]
        assert np.all(table.quantization.scale > 0)


@pytest.mark.parametrize("case", CASES)
def test_the_outputs_are_those_of_the_forward_pass_with_variables(case, exported, open_ready):
    bundle = exported(case)
    assert bundle.has_pure
    for model in models_of(bundle, open_ready):
        check_outputs(model)


@pytest.mark.parametrize("case", ["modernbert, lora", "bert, prefix", "gemma3, tokens"])
def test_where_rows_see_padding_alone_the_outputs_are_those_too(case, exported, open_ready):
    """Most rows are padding, further from the tokens than a window of these models reaches."""
    bundle = exported(case)
    model = open_ready(bundle, "litert")
    random_state(model, seed=7)

    check_outputs(model, few_tokens)


def few_tokens(bundle, tokens):
    """Returns the rows of `inputs_of`, cut to four tokens."""
    inputs = inputs_of(bundle, tokens)
    for name in {"attention_mask", "loss_mask"} & inputs.keys():
        inputs[name][:, 4:] = 0
    for name in ("mask_position", "last_position"):
        if name in inputs:
            inputs[name] = np.minimum(inputs[name], 3)
    return inputs


def check_outputs(model, inputs_of=inputs_of):
    """Asserts that at the trained values of a model its pure forms give what the others do."""
    theta = dict(model.read())
    for tokens in model.bundle.lengths:
        inputs = inputs_of(model.bundle, tokens)
        rows = inputs["weight"] > 0
        expected = model.engine.run(forward_loss_for(tokens), **inputs)
        outputs = model.engine.run(forward_pure_for(tokens), **inputs, **theta)
        assert outputs.keys() == expected.keys()
        scale = np.abs(expected[LOGITS][rows]).max()
        assert np.abs(outputs[LOSS] - expected[LOSS]).max() <= TOLERANCE * expected[LOSS]
        assert np.abs(outputs[LOGITS] - expected[LOGITS])[rows].max() <= TOLERANCE * scale
        assert outputs[WEIGHT_SUM] == expected[WEIGHT_SUM]
        moved = {name: value * np.float32(1.5) for name, value in theta.items()}
        other = model.engine.run(forward_pure_for(tokens), **inputs, **moved)
        assert np.abs(other[LOSS] - expected[LOSS]).max() > 100 * TOLERANCE, "inputs count"


@pytest.mark.parametrize("case", CASES)
def test_both_probes_that_come_in_give_the_losses_of_a_pair(case, exported, open_ready):
    bundle = exported(case)
    model = open_ready(bundle, "litert")
    random_state(model, seed=7)
    start, probes = dict(model.read()), []
    for scale in (EPS, -EPS):
        model.perturb(SEED, scale)
        probes.append(dict(model.read()))
        model.write(start)
    both = {name: np.stack([values[name] for values in probes]) for name in start}
    probe = {"seed": np.array([SEED], np.int32), "eps": np.array([EPS], np.float32)}
    for tokens in bundle.lengths:
        inputs = inputs_of(bundle, tokens)
        expected = model.engine.run(forward_pair_for(tokens), **inputs, **probe)

        outputs = model.engine.run(forward_pure_pair_for(tokens), **inputs, **both)

        assert outputs.keys() == expected.keys()
        size = np.abs(expected[LOSS]).max()
        assert np.abs(outputs[LOSS] - expected[LOSS]).max() <= TOLERANCE * size
        assert outputs[WEIGHT_SUM] == expected[WEIGHT_SUM]


def test_where_all_is_trained_all_comes_in(trains_all, open_ready, engine):
    for _, entry, subgraph, model in pure_graphs(trains_all):
        check_graph(subgraph, entry, model)
    model = open_ready(trains_all, engine)
    random_state(model, seed=7)
    check_outputs(model)
