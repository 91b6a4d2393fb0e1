"""Frozen bases in integers: rounding, agreement with float32, what the delegate takes."""

import numpy as np
import pytest
from delegate import MATMULS, nodes_of, partitions_of
from forward import relative_error
from opt_forward import WITH_TOKENS, opt_inputs, task_of
from small_runs import complaint, pocketllm

from pocketllm.runtime.contract import LOGITS, forward_loss_for
from pocketllm.runtime.data.batches import each_micro_batch
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.run.evaluate import rows_of
from pocketllm.tflite_models.presets import MICRO

pytestmark = pytest.mark.desktop

# base -> relative error of the logits on 872 sentences, share of equal predictions, least
# correlation of projected gradients over 50 directions. Measured on roberta-micro: see below.
BOUNDS = {
    "int8": (0.02, 0.99, 0.98),  # 0.0131, 0.9989, 0.992
    "int4": (0.27, 0.89, 0.95),  # 0.21 to 0.24, 0.911 to 0.915, 0.969
}


@pytest.fixture(scope="module")
def micro(make_bundle, open_ready):
    """Opens roberta-micro with LoRA on a base, in an Interpreter, whose nodes can be listed."""
    models = {}

    def make(base):
        if base not in models:
            bundle = make_bundle(
                MICRO, batch_size=32, lengths=(32, 64, 128), kind="lora", base=base
            )
            models[base] = open_ready(bundle, "litert", interpreter=True)
        return models[base]

    return make


def logits_of(model, data):
    """Returns the logits [rows, C] of all rows."""
    rows = rows_of(data, model.bundle)
    logits = np.zeros((len(rows), 2), np.float32)
    bundle = model.bundle
    for batch in each_micro_batch(rows, bundle.batch_size, bundle.lengths, data.pad_id):
        for member, values in zip(batch.members, model.forward(batch)[LOGITS]):
            logits[member] = values
    return logits


def test_int8_rounds_each_row_to_within_half_a_step_of_its_own():
    from pocketllm.export.flatbuffer.quantise import int8_rows

    rng = np.random.default_rng(0)
    values = rng.standard_normal((50, 37)).astype(np.float32) * np.geomspace(1e-6, 1e6, 50)[:, None]
    values = values.astype(np.float32)
    values[7] = 0
    rounded, steps = int8_rows(values)

    assert rounded.dtype == np.int8 and steps.dtype == np.float32
    error = np.abs(rounded * steps[:, None].astype(np.float64) - values)
    assert (error <= 0.50001 * steps[:, None]).all()
    assert (np.abs(rounded).max(1)[np.arange(50) != 7] == 127).all() and not rounded[7].any()


def test_int4_loses_less_than_steps_of_each_rows_largest_value_would():
    from pocketllm.export.flatbuffer.quantise import int4_rows

    values = np.random.default_rng(0).standard_normal((64, 1024)).astype(np.float32)
    values[7], values[8] = 0, 0
    values[8, :2] = 70, -35  # an outlier alone is kept
    rounded, steps = int4_rows(values)
    error = np.sqrt(np.square(rounded * steps[:, None] - values).mean(1))
    plain_steps = np.abs(values).max(1, keepdims=True) / 7
    plain_steps[7] = 1
    plain = np.sqrt(np.square(np.rint(values / plain_steps) * plain_steps - values).mean(1))

    assert rounded.min() == -8 and rounded.max() == 7 and not rounded[7].any()
    assert error[:7].mean() < 0.115 < 0.135 < plain[:7].mean()
    assert (error <= plain * 1.05).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_of_rows_are_rounded_as_the_whole(bits, monkeypatch):
    from pocketllm.export.flatbuffer import quantise

    rounded = {4: quantise.int4_rows, 8: quantise.int8_rows}[bits]
    values = np.random.default_rng(0).standard_normal((37, 600)).astype(np.float32)
    whole, of_columns = rounded(values), rounded(values.T)
    monkeypatch.setattr(quantise, "BLOCK_VALUES", 4 * 600 + 1)

    for expected, actual in zip((*whole, *of_columns), (*rounded(values), *rounded(values.T))):
        np.testing.assert_array_equal(actual, expected)


def test_nibbles_are_packed_two_a_byte_the_first_one_low():
    from pocketllm.export.flatbuffer.quantise import packed_nibbles

    packed = packed_nibbles(np.array([[1, -1], [-8, 7]], np.int8))

    assert packed.dtype == np.uint8 and packed.tolist() == [0xF1, 0x78]


@pytest.mark.parametrize("base", BOUNDS)
def test_real_sentences_have_the_logits_and_predictions_of_the_fp32_base(base, micro):
    data = load_dataset(MICRO / "sst2_heldout.tsv", micro("fp32").bundle)
    expected, actual = logits_of(micro("fp32"), data), logits_of(micro(base), data)
    error = relative_error(actual, expected)
    agreement = (actual.argmax(1) == expected.argmax(1)).mean()
    print(
        f"{base}: logits within {error:.4f}, equal predictions {agreement:.4f} of {len(expected)}"
    )

    assert len(expected) == 872
    assert 0 < error <= BOUNDS[base][0] and agreement >= BOUNDS[base][1]


@pytest.mark.parametrize("base", BOUNDS)
def test_projected_gradients_are_those_of_the_fp32_base(base, micro):
    models = {kind: micro(kind) for kind in ("fp32", base)}
    bundle = models[base].bundle
    eps = bundle.default_eps
    data = load_dataset(MICRO / "sst2_train.tsv", bundle)
    batches = batches_of(data, bundle, range(32))

    def projected(model, seed):
        model.perturb(seed, eps)
        plus = model.loss(batches)
        model.perturb(seed, -2 * eps)
        minus = model.loss(batches)
        model.perturb(seed, eps)
        return (plus - minus) / (2 * eps)

    gradients = {kind: [projected(m, seed) for seed in range(50)] for kind, m in models.items()}
    correlation = np.corrcoef(gradients["fp32"], gradients[base])[0, 1]
    print(f"{base}: correlation {correlation:.4f} at eps {eps:g}")

    assert correlation >= BOUNDS[base][2]


@pytest.mark.parametrize("scoring", WITH_TOKENS)
def test_opts_scores_on_int8_are_near_those_on_fp32(
    scoring, make_opt_checkpoint, make_bundle, open_ready
):
    checkpoint = make_opt_checkpoint(tied=scoring != "words")
    common = {"task": task_of(scoring), "lengths": (16,), "kind": "lora", "linear_values": 400}
    fp32, int8 = (
        open_ready(make_bundle(checkpoint, base=base, **common), "litert")
        for base in ("fp32", "int8")
    )
    inputs = opt_inputs(fp32.bundle, 16, seed=3)
    expected, actual = (m.engine.run(forward_loss_for(16), **inputs) for m in (fp32, int8))

    assert 0 < relative_error(actual[LOGITS], expected[LOGITS]) <= 0.05  # measured: below 0.03


def test_every_product_is_in_the_delegate(micro):
    model = micro("int8")
    nodes = nodes_of(model.engine._interpreter)
    partitions = partitions_of(nodes)
    products = [index for index, (name, _, _) in enumerate(nodes) if name in MATMULS]

    frozen = [index for index in products if nodes[index][0] == "FULLY_CONNECTED"]
    assert len(frozen) == 6 * model.bundle.config["num_hidden_layers"] + 1
    for index in products:
        assert sum(index in inside for inside in partitions) == 1, nodes[index]


def test_the_other_engine_says_that_it_cannot_run_integers(micro):
    bundle = micro("int8").bundle
    flags = [f"--bundle={bundle.folder}", f"--data={MICRO / 'sst2_dev.tsv'}", "--engine=tflite"]
    complaint(pocketllm("eval", *flags), 2, "its base is int8", "--engine=litert")


def test_training_everything_on_integers_is_refused(tmp_path):
    flags = ["--model=roberta-micro", "--task=sst2", f"--out={tmp_path / 'out'}", "--base=int8"]
    complaint(pocketllm("export", *flags), 2, "--base=int8", "--tune=full trains everything")
