"""The exported forward pass against transformers, and against golden files where there is none."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from forward import PAD, forward_inputs, relative_error, torch_forward

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.contract import LOGITS, LOSS, WEIGHT_SUM, forward_loss_for
from pocketllm.runtime.tasks.masked import TASKS
from pocketllm.tflite_models.presets import PRESETS

GOLDEN = Path(__file__).parents[2] / "golden" / "tiny_forward.npz"

EMBEDDINGS = "roberta.embeddings.word_embeddings.weight"
FORWARD_INPUTS = ("input_ids", "attention_mask", "mask_position", "label", "weight")

# Measured over all cases, both engines: losses within 2.3e-6, logits within 1.3e-6. The reference
# is float64: what is measured is the rounding of float32 in the graph.
TOLERANCE = 1e-5
# roberta-large: losses within 3.3e-5 (2.7 from logits of 20), logits within 8.4e-6.
LARGE_TOLERANCE = 1e-4

# Labels of the two rows with weight, pass by pass: between them every class of the task.
LABELS = {"mnli": [(2, 0), (1, 2)], "trec": [(5, 0), (1, 4), (3, 2)]}


@pytest.fixture(scope="session")
def parity_case(make_checkpoint, make_bundle):
    """Exports a case and runs it in PyTorch: name -> (bundle, {tokens: (inputs, loss, logits)})."""
    cases = {}

    def make(activation):
        if activation not in cases:
            changes, settings = tiny.CASES[activation]
            checkpoint = make_checkpoint(hidden_act=activation, **changes)
            bundle = make_bundle(checkpoint, **settings)
            expected = {}
            for tokens in bundle.lengths:
                inputs = forward_inputs(tokens, bundle.config["vocab_size"], seed=len(cases))
                expected[tokens] = (inputs, *torch_forward(checkpoint, inputs, bundle.word_ids))
            cases[activation] = bundle, expected
        return cases[activation]

    return make


@pytest.mark.desktop
def test_every_activation_has_a_case():
    from pocketllm.export.checkpoint.config import ACTIVATIONS

    assert set(tiny.CASES) == set(ACTIVATIONS)


@pytest.mark.desktop
@pytest.mark.parametrize("activation", tiny.CASES)
def test_loss_and_logits_are_those_of_transformers(activation, engine, parity_case, open_ready):
    bundle, expected = parity_case(activation)
    model = open_ready(bundle, engine)

    for tokens, (inputs, loss, logits) in expected.items():
        assert np.ptp(logits) > 0.5, "logits that hardly vary prove nothing"
        actual = model.engine.run(forward_loss_for(tokens), **inputs)
        assert relative_error(actual[LOSS], loss) <= TOLERANCE
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE
        assert actual[WEIGHT_SUM] == [3]
        assert np.isfinite(actual[LOGITS]).all()


@pytest.mark.desktop
def test_a_pad_token_in_a_text_has_the_position_that_transformers_gives_it(
    engine, make_checkpoint, parity_case, open_ready
):
    bundle, expected = parity_case("gelu")
    checkpoint = make_checkpoint(hidden_act="gelu", **tiny.CASES["gelu"][0])
    model = open_ready(bundle, engine)

    for tokens, (inputs, loss, _) in expected.items():
        ids = inputs["input_ids"].copy()
        ids[0, [0, 3]] = ids[1, 2] = PAD  # attended to: the masks stay
        spelled = inputs | {"input_ids": ids}
        theirs, logits = torch_forward(checkpoint, spelled, bundle.word_ids)
        assert abs(theirs - loss) > 1e-3
        actual = model.engine.run(forward_loss_for(tokens), **spelled)
        assert relative_error(actual[LOSS], theirs) <= TOLERANCE
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE


@pytest.mark.desktop
@pytest.mark.parametrize("task", LABELS)
def test_three_and_six_label_words_give_the_losses_and_logits_of_transformers(
    task, engine, make_checkpoint, make_bundle, open_ready
):
    classes = len(TASKS[task].words)
    assert {label for pair in LABELS[task] for label in pair} == set(range(classes))
    checkpoint = make_checkpoint(label_words=TASKS[task].words)
    bundle = make_bundle(checkpoint, task=task)
    model = open_ready(bundle, engine)

    for tokens in bundle.lengths:
        inputs = forward_inputs(tokens, bundle.config["vocab_size"], seed=classes)
        for labels in LABELS[task]:
            inputs["label"][:2] = labels
            loss, logits = torch_forward(checkpoint, inputs, bundle.word_ids)
            assert (np.ptp(logits, axis=1) > 0.5).all() and logits.shape == (2, classes)
            actual = model.engine.run(forward_loss_for(tokens), **inputs)
            assert actual[LOGITS].shape == (3, classes)
            assert relative_error(actual[LOSS], loss) <= TOLERANCE
            assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE


@pytest.mark.desktop
def test_the_cases_cover_tables_in_chunks_and_a_decoder_of_its_own(parity_case):
    def chunks(bundle, name):
        return next(p.variables for p in bundle.parameters if p.name == name)

    tied, untied = parity_case("tanh")[0], parity_case("swish")[0]
    assert tied.tied_decoder and not untied.tied_decoder
    assert len(chunks(tied, EMBEDDINGS)) == 3 and tied.slices > 3
    first, last = chunks(tied, EMBEDDINGS)[0], chunks(tied, EMBEDDINGS)[-1]
    assert last.shape[0] < first.shape[0], "the last chunk is cut off"
    of_words = {
        variable.name
        for variable in chunks(untied, "lm_head.decoder.weight")
        for word_id in untied.word_ids
        if variable.rows[0] <= word_id < variable.rows[1]
    }
    assert len(of_words) == 2, "the label words lie in different chunks"


@pytest.mark.desktop
def test_an_untied_decoder_brings_its_own_bias(parity_case):
    bundle, _ = parity_case("silu")
    manifest = json.loads((bundle.folder / "bundle.json").read_text())

    assert manifest["ignored_tensors"] == ["lm_head.bias"]


def test_the_golden_bundle_gives_the_losses_and_logits_of_pytorch(
    golden_bundle, engine, open_ready
):
    model = open_ready(golden_bundle, engine)
    for tokens, (inputs, loss, logits) in golden_forward(golden_bundle).items():
        actual = model.engine.run(forward_loss_for(tokens), **inputs)
        assert relative_error(actual[LOSS], loss) <= TOLERANCE
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE


def test_filler_rows_change_nothing_whatever_they_hold(golden_bundle, engine, open_ready):
    model = open_ready(golden_bundle, engine)
    for tokens, (inputs, _, _) in golden_forward(golden_bundle).items():
        expected = model.engine.run(forward_loss_for(tokens), **inputs)
        other = {name: values.copy() for name, values in inputs.items()}
        other["input_ids"][2], other["attention_mask"][2] = 7, 1
        other["mask_position"][2], other["label"][2] = 5, 1
        actual = model.engine.run(forward_loss_for(tokens), **other)
        np.testing.assert_array_equal(actual[LOSS], expected[LOSS])
        np.testing.assert_array_equal(actual[LOGITS][:2], expected[LOGITS][:2])
        assert (actual[LOGITS][2] != expected[LOGITS][2]).all(), "the row itself was computed"


def test_a_batch_of_fillers_alone_has_loss_0(golden_bundle, engine, open_ready):
    model = open_ready(golden_bundle, engine)
    for tokens, (inputs, _, _) in golden_forward(golden_bundle).items():
        weightless = inputs | {"weight": np.zeros(3, np.float32)}
        actual = model.engine.run(forward_loss_for(tokens), **weightless)
        assert (actual[LOSS], actual[WEIGHT_SUM]) == ([0], [0])


def golden_forward(bundle):
    """Returns {tokens: (inputs, loss, logits)} from the golden file."""
    stored = np.load(GOLDEN)
    return {
        tokens: (
            {name: stored[f"{name}_{tokens}"] for name in FORWARD_INPUTS},
            stored[f"loss_{tokens}"],
            stored[f"logits_{tokens}"],
        )
        for tokens in bundle.lengths
    }


@pytest.mark.desktop
@pytest.mark.slow
def test_roberta_large_is_that_of_transformers(tmp_path, engine, open_ready):
    config = json.loads(PRESETS["roberta-large"].config_path.read_text())
    sizes = {name: config[name] for name in (*tiny.CONFIG, "vocab_size")}
    checkpoint = tiny.write_checkpoint(tmp_path / "checkpoint", **sizes)
    bundle = read_bundle(tiny.export(checkpoint, tmp_path / "bundle", lengths=(64,)))
    inputs = forward_inputs(64, config["vocab_size"], seed=0)
    loss, logits = torch_forward(checkpoint, inputs, bundle.word_ids)

    actual = open_ready(bundle, engine).engine.run(forward_loss_for(64), **inputs)

    assert np.ptp(logits) > 0.5, "logits that hardly vary prove nothing"
    errors = relative_error(actual[LOSS], loss), relative_error(actual[LOGITS][:2], logits)
    print(
        f"roberta-large, {engine}: relative error of loss {errors[0]:.1e}, logits {errors[1]:.1e}"
    )
    assert max(errors) <= LARGE_TOLERANCE
