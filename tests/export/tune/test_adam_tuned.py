"""Adam on a frozen base: gradients against torch.autograd, steps against torch.optim.AdamW."""

import json
import math

import numpy as np
import pytest
from adam_trajectory import take_steps
from conftest import ENGINES
from delegate import MATMULS, nodes_of
from forward import forward_inputs, relative_error
from gradients import TOLERANCE, export_adam_first, export_gradients, gradients_in
from opt_forward import opt_inputs, task_of, torch_scores
from small_runs import pocketllm
from tuned import random_state

from pocketllm.runtime.contract import FP32, GOLD, INT4, INT8, WORDS
from pocketllm.runtime.data.dataset import batches_of, load_dataset
from pocketllm.runtime.engine.private_interface import DELEGATE_NODE
from pocketllm.tflite_models.presets import MICRO

pytestmark = pytest.mark.desktop

EVERY_LAYER = ("query", "key", "value", "dense")
# name: (changes of the checkpoint, settings of Lora)
ROBERTA = {
    "query_value": ({}, {}),
    "every_layer_and_head": ({"tied": False}, {"targets": EVERY_LAYER, "extras": "lm_head"}),
}
# name: (scoring, changes of the checkpoint, settings of Lora)
OPT = {
    "words": (WORDS, {"tied": False}, {"rank": 3}),
    "gold": (GOLD, {"word_embed_proj_dim": 8, "do_layer_norm_before": False}, {}),
}
# base -> least correlation with the gradients on fp32. Measured: 0.9999 and 0.965.
CORRELATIONS = {INT8: 0.999, INT4: 0.95}


def compare(bundle, inputs, reference_of, open_ready):
    """Asserts that gradients at a drawn state are those of the reference made for that state."""
    for engine in ENGINES:
        model = open_ready(bundle, engine)
        expected = reference_of(random_state(model, seed=7))
        actual = gradients_in(model, inputs, inputs["input_ids"].shape[1])
        assert expected.keys() == actual.keys()
        for name, gradient in expected.items():
            assert np.abs(gradient).max() > 0, name
            assert relative_error(actual[name], gradient) <= TOLERANCE, (name, engine)


def lora_reference(checkpoint, bundle, inputs):
    """Returns what gives PyTorch's gradients for the values of an adapter."""
    import torch
    from adam_reference import TorchAdam

    def gradients(values):
        reference = TorchAdam(checkpoint, bundle, torch.float64, values)
        return {name: g.numpy() for name, g in reference.gradients(inputs).items()}

    return gradients


@pytest.mark.parametrize("case", ROBERTA)
def test_gradients_of_lora_are_those_of_autograd(case, make_checkpoint, open_ready, tmp_path):
    from pocketllm.export.tune.lora import Lora

    changes, lora = ROBERTA[case]
    checkpoint = make_checkpoint(**changes)
    bundle = export_gradients(checkpoint, tmp_path / "bundle", kind="lora", lora=Lora(**lora))
    inputs = forward_inputs(16, bundle.config["vocab_size"], seed=5)

    compare(bundle, inputs, lora_reference(checkpoint, bundle, inputs), open_ready)


@pytest.mark.parametrize("case", OPT)
def test_gradients_of_lora_in_opt_are_those_of_autograd(
    case, make_opt_checkpoint, open_ready, tmp_path
):
    from pocketllm.export.tune.lora import Lora

    scoring, changes, lora = OPT[case]
    checkpoint = make_opt_checkpoint(**changes)
    bundle = export_gradients(
        checkpoint, tmp_path / "bundle", kind="lora", lora=Lora(**lora), task=task_of(scoring),
        lengths=(16,), linear_values=400,
    )  # fmt: skip
    inputs = opt_inputs(bundle, 16, seed=6)

    compare(bundle, inputs, lora_reference(checkpoint, bundle, inputs), open_ready)


def test_gradients_of_a_prefix_are_those_of_autograd(make_checkpoint, open_ready, tmp_path):
    import torch
    from prefix_reference import prefixed
    from transformers import RobertaForMaskedLM

    checkpoint = make_checkpoint()
    bundle = export_gradients(checkpoint, tmp_path / "bundle", kind="prefix")
    inputs = forward_inputs(16, bundle.config["vocab_size"], seed=5)
    theirs = RobertaForMaskedLM.from_pretrained(checkpoint, attn_implementation="eager")

    def gradients(values):
        leaves = {name: torch.tensor(v).double().requires_grad_() for name, v in values.items()}
        with prefixed(bundle, leaves):
            loss, _, _ = torch_scores(theirs.double().eval(), bundle, inputs)
        derivatives = torch.autograd.grad(loss, list(leaves.values()))
        return {name: gradient.numpy() for name, gradient in zip(leaves, derivatives)}

    compare(bundle, inputs, gradients, open_ready)


def test_gradients_of_the_label_words_are_those_of_autograd(make_checkpoint, open_ready, tmp_path):
    import torch
    from transformers import RobertaForMaskedLM

    checkpoint = make_checkpoint(tied=False)
    bundle = export_gradients(checkpoint, tmp_path / "bundle", kind="head")
    inputs = forward_inputs(16, bundle.config["vocab_size"], seed=5)
    theirs = RobertaForMaskedLM.from_pretrained(checkpoint, attn_implementation="eager")
    head, ids = theirs.double().eval().lm_head.decoder, list(bundle.word_ids)

    def gradients(values):
        with torch.no_grad():
            head.weight[ids] = torch.tensor(values["lm_head.words.weight"]).double()
            head.bias[ids] = torch.tensor(values["lm_head.words.bias"]).double()
        loss, _, _ = torch_scores(theirs, bundle, inputs)
        derivatives = torch.autograd.grad(loss, [head.weight, head.bias])
        return dict(zip(values, (gradient[ids].numpy() for gradient in derivatives)))

    compare(bundle, inputs, gradients, open_ready)


def test_steps_of_lora_are_those_of_adamw(engine, make_checkpoint, make_bundle, open_ready):
    checkpoint = make_checkpoint()
    bundle = make_bundle(checkpoint, adam=True, kind="lora")

    def make_inputs(bundle, tokens, number):
        return forward_inputs(tokens, bundle.config["vocab_size"], seed=number % 4)

    take_steps(checkpoint, bundle, engine, make_inputs, open_ready, weight_decay=0.5, linear=False)


@pytest.fixture(scope="module")
def micro(open_ready, tmp_path_factory):
    """Opens roberta-micro with LoRA on a base, its `adam_step` returning gradients."""
    models = {}

    def make(base):
        if base not in models:
            folder = tmp_path_factory.mktemp("micro") / "bundle"
            bundle = export_gradients(
                MICRO, folder, kind="lora", base=base, batch_size=32, lengths=(64,)
            )
            models[base] = open_ready(bundle, "litert")
            models[base].write(
                {
                    v.name: np.random.default_rng(v.stream).standard_normal(v.shape, np.float32)
                    * np.float32(0.05)
                    for v in bundle.variables
                }
            )
        return models[base]

    return make


@pytest.mark.parametrize("base", CORRELATIONS)
def test_gradients_on_integers_point_where_those_on_fp32_do(base, micro):
    data = load_dataset(MICRO / "sst2_train.tsv", micro(base).bundle)
    batch = next(
        batch for batch in batches_of(data, micro(base).bundle, range(32)) if batch.tokens == 64
    )
    gradients = {
        kind: np.concatenate(
            [g.ravel() for g in gradients_in(micro(kind), batch.inputs, 64).values()]
        )
        for kind in (FP32, base)
    }
    correlation = np.corrcoef(gradients[FP32], gradients[base])[0, 1]
    print(f"{base}: correlation {correlation:.4f}, {gradients[base].size} values")

    assert correlation >= CORRELATIONS[base]


@pytest.mark.parametrize("base", [FP32, INT8])
def test_forward_and_backward_are_in_one_partition(base, open_ready, tmp_path):
    from pocketllm.export.graph.weights_view import FEED_FORWARD_ROWS

    bundle = export_adam_first(MICRO, tmp_path / "bundle", kind="lora", base=base, lengths=(64,))
    nodes = nodes_of(open_ready(bundle, "litert", interpreter=True).engine._interpreter)
    produced = {index for _, _, outputs in nodes for index in outputs}
    # A matrix of the frozen base: what a product takes and no node has produced.
    matrices = {
        inputs[1] for name, inputs, _ in nodes if name in MATMULS and inputs[1] not in produced
    }
    takers = [set(inputs) & matrices for name, inputs, _ in nodes if name == DELEGATE_NODE]

    products = [
        (name, inputs) for name, inputs, _ in nodes if name in MATMULS and inputs[1] in matrices
    ]
    # XNNPACK packs the constant of every BATCH_MATMUL in memory of its own.
    assert {name for name, _ in products} == {"FULLY_CONNECTED"}
    layers = bundle.config["num_hidden_layers"]
    forward = 6 * layers + 1
    # Nothing goes back through the first layer's query, key and value.
    assert len(matrices) == 2 * forward - 3
    # Each layer is computed again as far as its gradient needs it, which is all of it; the two
    # products of the feed-forward, and theirs on the way back, for each block of rows. The last
    # layer has few rows.
    blocks = math.ceil(bundle.batch_size * 64 / FEED_FORWARD_ROWS)
    assert blocks > 1
    assert len(products) == 2 * forward - 3 + 6 * layers + 4 * (blocks - 1) * (layers - 1)
    assert [matched for matched in takers if matched] == [matrices]


def test_a_lora_run_of_adam_learns_on_int8_and_becomes_an_adapter(tmp_path):
    bundle, run = tmp_path / "bundle", tmp_path / "run"
    for command in (
        ["export", "--model=roberta-micro", "--task=sst2", "--tune=lora", "--base=int8",
         "--optimizers=mezo,adam", "--lengths=64", f"--out={bundle}"],
        ["train", f"--bundle={bundle}", f"--train={MICRO / 'sst2_train.tsv'}", f"--run={run}",
         f"--dev={MICRO / 'sst2_dev.tsv'}", "--optimizer=adam", "--lr=1e-3", "--steps=30",
         "--batch_size=8", "--eval_every=15", f"--json={tmp_path / 'result.json'}"],
        ["replay", f"--bundle={bundle}", f"--run={run}", f"--out={tmp_path / 'adapter'}"],
    ):  # fmt: skip
        done = pocketllm(*command, timeout=400)
        assert done.returncode == 0, done.stderr

    seen = [json.loads(line) for line in (run / "evaluations.jsonl").open()]
    print([(record["step"], round(record["loss"], 4), record["accuracy"]) for record in seen])
    assert seen[0]["loss"] == pytest.approx(0.6085, abs=2e-3) and seen[-1]["loss"] < 0.4
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()

    done = pocketllm(
        "train", f"--bundle={bundle}", f"--train={MICRO / 'sst2_train.tsv'}", "--steps=8",
        f"--run={tmp_path / 'lost'}", "--optimizer=adam", "--lr=1e30", "--batch_size=8",
    )  # fmt: skip
    assert done.returncode == 0 and "warning: step 6: the gradient is 0 in 5 steps" in done.stdout
