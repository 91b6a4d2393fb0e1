"""Outputs are computed, whatever the converter folds away: above all in batches of one row."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from forward import forward_inputs, relative_error
from opt_forward import opt_inputs, task_of

from pocketllm.export.flatbuffer.model import add_signature, new_model
from pocketllm.export.flatbuffer.operators import add_constant, add_tensor, new_operator
from pocketllm.export.flatbuffer.outputs import check_outputs
from pocketllm.runtime import contract
from pocketllm.runtime.errors import RunError

pytestmark = pytest.mark.desktop

# Kernels may sum a batch of one row in another order than one of three.
TOLERANCE = 1e-5
TOKENS = 8
OPT_CASES = [(kind, contract.WORDS) for kind in contract.TUNES]
OPT_CASES += [(contract.LORA, contract.OPTIONS), (contract.FULL, contract.GOLD)]


def row_of(inputs, row, rows):
    """Returns the inputs of one row of a batch; a row may be several sequences."""
    return {
        name: values.reshape(rows, -1, *values.shape[1:])[row].copy()
        for name, values in inputs.items()
    }


def check_rows(several, single, inputs):
    """Holds every row, called by itself, against the same row of a batch of three."""
    signature = contract.forward_loss_for(TOKENS)
    assert several.bundle.batch_size == 3 and single.bundle.batch_size == 1
    losses, expected = [], []
    for model in (several, single):
        model.perturb(3, 0.05)  # an adapter that starts at 0 has no part in the loss
    for row in range(3):
        alone = row_of(inputs, row, rows=3)
        weight = inputs[contract.WEIGHT] * (np.arange(3) == row).astype(np.float32)
        theirs = several.engine.run(signature, **{**inputs, contract.WEIGHT: weight})
        for _ in range(2):  # what overwrites an input shows in the next call at the latest
            ours = single.engine.run(signature, **alone)
            assert ours[contract.WEIGHT_SUM] == theirs[contract.WEIGHT_SUM]
            assert (ours[contract.WEIGHT_SUM] > 0) == (weight[row] > 0)
            logits = theirs[contract.LOGITS][row]
            assert relative_error(ours[contract.LOGITS][0], logits) <= TOLERANCE
        losses.append(ours[contract.LOSS][0])
        expected.append(theirs[contract.LOSS][0])
    assert expected[2] == losses[2] == 0, "a row without weight"
    assert max(expected) > 0.01
    assert relative_error(losses, expected) <= TOLERANCE


def roberta_pair(kind, base, make_checkpoint, make_bundle):
    """Returns bundles of three rows and of one, and inputs of the first."""
    settings = {"kind": kind, "base": base}
    checkpoint = make_checkpoint()
    several = make_bundle(checkpoint, **settings)
    single = make_bundle(checkpoint, batch_size=1, lengths=(TOKENS,), **settings)
    return several, single, forward_inputs(TOKENS, several.config["vocab_size"], seed=5)


@pytest.mark.parametrize("kind", contract.TUNES)
def test_a_batch_of_one_row_has_the_losses_of_the_rows_of_roberta(
    kind, engine, make_checkpoint, make_bundle, open_ready
):
    several, single, inputs = roberta_pair(kind, contract.FP32, make_checkpoint, make_bundle)
    check_rows(open_ready(several, engine), open_ready(single, engine), inputs)


@pytest.mark.parametrize("kind", [contract.LORA, contract.PREFIX, contract.HEAD_WORDS])
def test_and_on_a_base_of_integers(kind, make_checkpoint, make_bundle, open_ready):
    several, single, inputs = roberta_pair(kind, contract.INT8, make_checkpoint, make_bundle)
    check_rows(open_ready(several, "litert"), open_ready(single, "litert"), inputs)


@pytest.mark.parametrize(("kind", "scoring"), OPT_CASES)
def test_a_batch_of_one_row_has_the_losses_of_the_rows_of_opt(
    kind, scoring, engine, make_opt_checkpoint, make_bundle, open_ready
):
    checkpoint = make_opt_checkpoint(num_hidden_layers=1)
    settings = {"kind": kind, "task": task_of(scoring), "lengths": (TOKENS,)}
    several, single = (make_bundle(checkpoint, batch_size=b, **settings) for b in (3, 1))
    inputs = opt_inputs(several, TOKENS, seed=5)
    check_rows(open_ready(several, engine), open_ready(single, engine), inputs)


def test_adam_takes_the_step_of_one_row(engine, make_checkpoint, make_bundle, open_ready):
    checkpoint = make_checkpoint(num_hidden_layers=1)
    several, single = (
        open_ready(make_bundle(checkpoint, batch_size=b, lengths=(TOKENS,), adam=True), engine)
        for b in (3, 1)
    )
    inputs = forward_inputs(TOKENS, several.bundle.config["vocab_size"], seed=5)
    alone = row_of(inputs, 0, rows=3)
    inputs[contract.WEIGHT] = np.float32([1, 0, 0])
    start = dict(single.read())
    scalars = {
        contract.LR: np.float32([1e-3]),
        contract.STEP: np.int32([1]),
        contract.FACTOR: np.float32([0.9]),
    }
    for model in (several, single):
        model.initialize_adam()
    signature = contract.adam_step_for(TOKENS)
    theirs = several.engine.run(signature, **inputs, **scalars)
    ours = single.engine.run(signature, **alone, **scalars)

    assert relative_error(ours[contract.LOSS], theirs[contract.LOSS]) <= TOLERANCE
    expected = dict(several.read())
    # A gradient that is rounding has a step of ±lr whose sign is rounding too.
    near = [np.abs(v - expected[n]) <= TOLERANCE * np.abs(start[n]).max() for n, v in single.read()]
    assert np.mean(np.concatenate([part.ravel() for part in near])) > 0.98


def a_signature(output_of):
    """Returns a model with one signature that adds its input to itself.

    Args:
      output_of: {name: tensor index} of (model, subgraph, input, sum).
    """
    model = new_model("outputs")
    subgraph = schema.SubGraphT()
    subgraph.name, subgraph.tensors, subgraph.operators = b"double", [], []
    given = add_tensor(subgraph, "given", [1], np.float32)
    total = add_tensor(subgraph, "total", [1], np.float32)
    builtin = schema.BuiltinOperator.ADD
    subgraph.operators.append(
        new_operator(model, builtin, [given, given], [total], schema.AddOptionsT())
    )
    outputs = output_of(model, subgraph, given, total)
    add_signature(model, "double", subgraph, {"given": given}, outputs)
    return model


@pytest.mark.parametrize(
    ("output_of", "name"),
    [
        (lambda model, subgraph, given, total: {"total": total, "same": given}, "same"),
        (lambda model, subgraph, given, total: {"total": total, "again": total}, "again"),
        (
            lambda model, subgraph, given, total: {
                "fixed": add_constant(model, subgraph, "c", np.float32([1]))
            },
            "fixed",
        ),
    ],
    ids=["input", "twice", "constant"],
)
def test_a_model_whose_output_nothing_computes_is_refused(output_of, name):
    with pytest.raises(RunError, match=f"^double: output {name} is an input, a constant or"):
        check_outputs(a_signature(output_of))


def test_a_model_whose_outputs_are_computed_passes():
    check_outputs(a_signature(lambda model, subgraph, given, total: {"total": total}))
