"""The state of an open bundle: initial values, reading, writing, decay."""

import numpy as np
import pytest

from pocketllm.runtime import contract


def test_what_is_written_is_read_back_bit_for_bit(golden_bundle, engine, open_ready):
    model = open_ready(golden_bundle, engine)
    rng = np.random.default_rng(0)
    values = {
        variable.name: rng.standard_normal(variable.shape, np.float32)
        for variable in golden_bundle.variables
    }
    model.write(values)
    stored = dict(model.read())

    assert stored.keys() == values.keys()
    for name in values:
        np.testing.assert_array_equal(stored[name], values[name])


def test_reading_changes_nothing_and_forward_neither(golden_bundle, engine, open_ready):
    model = open_ready(golden_bundle, engine)
    before = dict(model.read())
    signature = contract.forward_loss_for(golden_bundle.lengths[0])
    shapes = golden_bundle.signatures[signature]["inputs"]
    model.engine.run(signature, **{n: np.ones(shape, kind) for n, (kind, shape) in shapes.items()})

    for name, values in model.read():
        np.testing.assert_array_equal(values, before[name])


def test_decay_multiplies_what_decays_and_nothing_else(golden_bundle, engine, open_ready):
    model = open_ready(golden_bundle, engine)
    before = dict(model.read())
    model.decay(0.75)
    after = dict(model.read())

    decayed = {p.decays for p in golden_bundle.parameters}
    assert decayed == {True, False}
    for parameter in golden_bundle.parameters:
        assert parameter.decays == (len(parameter.shape) == 2)
        for variable in parameter.variables:
            factor = np.float32(0.75) if parameter.decays else np.float32(1)
            np.testing.assert_array_equal(after[variable.name], before[variable.name] * factor)


def test_writing_in_one_engine_is_not_seen_by_another_interpreter(
    golden_bundle, engine, open_ready
):
    first, second = open_ready(golden_bundle, engine), open_ready(golden_bundle, engine)
    before = dict(second.read())
    first.perturb(1, 0.5)

    for name, values in second.read():
        np.testing.assert_array_equal(values, before[name])


@pytest.mark.desktop
def test_the_initial_values_are_the_checkpoints(
    make_checkpoint, chunked_bundle, engine, open_ready
):
    from safetensors.numpy import load_file

    tensors = load_file(make_checkpoint(hidden_act="tanh") / "model.safetensors")
    initial = dict(open_ready(chunked_bundle, engine).read())

    assert chunked_bundle.slices > 3
    for parameter in chunked_bundle.parameters:
        expected = tensors[parameter.name]
        for variable in parameter.variables:
            chunk = expected[slice(*variable.rows)] if variable.rows else expected
            np.testing.assert_array_equal(initial[variable.name], chunk, err_msg=variable.name)
    inner = next(p for p in chunked_bundle.parameters if "intermediate.dense.weight" in p.name)
    assert [v.rows for v in inner.variables] == [(0, 12), (12, 24)]
    rows = [v.rows for v in chunked_bundle.parameters[0].variables]
    assert len(rows) == 3 and [r[0] for r in rows[1:]] == [r[1] for r in rows[:-1]]
