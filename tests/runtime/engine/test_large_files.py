"""Model files past 2 GB and tensors past 4 GB: both engines read them, and the loss is golden."""

from unittest import mock

import pytest
import tiny
from forward import forward_inputs, relative_error, torch_forward

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.manifest import read_bundle

TOLERANCE = 1e-5
# Where the values begin: the first past the reach of a signed 32-bit offset, the other past that
# of an unsigned one. The gap is a hole in the file: it takes no space on the disk.
STARTS = {"past_2_gb": 2_200_000_000, "past_4_gb": 4_400_000_000}


@pytest.fixture(scope="module", params=STARTS)
def large(request, make_checkpoint, tmp_path_factory):
    """(checkpoint, bundle) whose values lie behind a hole."""
    from pocketllm.export.flatbuffer import model

    checkpoint = make_checkpoint(hidden_act="tanh")
    start = STARTS[request.param]
    assert start % model.ALIGNMENT == 0
    with mock.patch.object(model, "PAGE", start):
        out = tmp_path_factory.mktemp("large") / "bundle"
        tiny.export(checkpoint, out, chunk_values=16 * 100, slice_bytes=8192)
    bundle = read_bundle(out)
    assert bundle.model_path.stat().st_size > start
    assert min(variable.offset for variable in bundle.variables) >= start
    return checkpoint, bundle


@pytest.mark.desktop
@pytest.mark.slow
def test_its_losses_are_those_of_transformers_before_and_after_a_step(large, engine, open_ready):
    checkpoint, bundle = large
    model = open_ready(bundle, engine)
    for tokens in bundle.lengths:
        inputs = forward_inputs(tokens, bundle.config["vocab_size"], seed=0)
        loss, logits = torch_forward(checkpoint, inputs, bundle.word_ids)
        actual = model.engine.run(contract.forward_loss_for(tokens), **inputs)
        assert relative_error(actual[contract.LOSS], loss) <= TOLERANCE
        assert relative_error(actual[contract.LOGITS][:2], logits) <= TOLERANCE
        model.perturb(7, 0.5)  # the noise table lies behind the hole too
        moved = model.engine.run(contract.forward_loss_for(tokens), **inputs)
        assert relative_error(moved[contract.LOSS], loss) > 100 * TOLERANCE
        model.initialize()
