"""LoRA on a frozen base against PEFT, and what is trained of such a bundle."""

import json

import numpy as np
import pytest
from forward import forward_inputs, model_forward, relative_error
from opt_forward import WITH_TOKENS, opt_inputs, score_arrays, task_of
from small_runs import complaint, pocketllm, rows, run_config, write_tsv
from trajectory import check, checkpoint_layout, compare
from tuned import lora_bundle, random_state

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.contract import LOGITS, LOSS, forward_loss_for
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.tflite_models.presets import MICRO

pytestmark = pytest.mark.desktop

# The reference is float64: what is measured is the rounding of float32 in the graph.
TOLERANCE = 1e-5

# name: (checkpoint, settings of Lora)
CASES = {
    "query_value": ({}, {}),
    "untied": ({"tied": False, "hidden_act": "relu"}, {"rank": 3, "alpha": 4.0}),
    "every_layer": (
        {"num_hidden_layers": 1, "type_vocab_size": 2},
        {"rank": 2, "alpha": 4.0, "targets": ("query", "key", "value", "dense")},
    ),
}
OPT_CASES = {
    "query_value": ({}, {}),
    "every_layer": (
        {"do_layer_norm_before": False, "word_embed_proj_dim": 8, "tied": False},
        {
            "rank": 2,
            "alpha": 4.0,
            "targets": ("q_proj", "out_proj", "fc1", "fc2", "project_in", "project_out"),
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_roberta_has_the_losses_and_logits_of_peft(
    case, engine, make_checkpoint, make_bundle, open_ready
):
    from peft_reference import peft_model

    changes, settings = CASES[case]
    checkpoint = make_checkpoint(**changes)
    bundle = lora_bundle(make_bundle, checkpoint, settings, linear_values=40)
    vocabulary = bundle.config["vocab_size"]
    model = open_ready(bundle, engine)
    before = model.engine.run(forward_loss_for(8), **forward_inputs(8, vocabulary, seed=2))[LOGITS]
    theirs = peft_model(checkpoint, bundle, random_state(model, seed=7)).double()

    for tokens in bundle.lengths:
        inputs = forward_inputs(tokens, vocabulary, seed=2)
        loss, logits = model_forward(theirs, inputs, bundle.word_ids)
        actual = model.engine.run(forward_loss_for(tokens), **inputs)
        assert relative_error(actual[LOSS], loss) <= TOLERANCE
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE
        if tokens == 8:
            assert relative_error(before[:2], logits) > 0.05, "the adapter counts"


@pytest.mark.parametrize("scoring", WITH_TOKENS)
@pytest.mark.parametrize("case", OPT_CASES)
def test_opt_has_the_losses_and_scores_of_peft(
    case, scoring, engine, make_opt_checkpoint, make_bundle, open_ready
):
    from peft_reference import peft_model

    changes, settings = OPT_CASES[case]
    checkpoint = make_opt_checkpoint(**changes)
    bundle = lora_bundle(
        make_bundle, checkpoint, settings, task=task_of(scoring), lengths=(9, 16), linear_values=400
    )
    model = open_ready(bundle, engine)
    theirs = peft_model(checkpoint, bundle, random_state(model, seed=7)).double()

    for tokens in bundle.lengths:
        inputs = opt_inputs(bundle, tokens, seed=3)
        loss, logits, _ = score_arrays(theirs, bundle, inputs)
        actual = model.engine.run(forward_loss_for(tokens), **inputs)
        assert relative_error(actual[LOSS], [loss]) <= TOLERANCE
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE


@pytest.mark.parametrize("extras", ["none", "lm_head"])
def test_fifty_lora_steps_follow_pytorch(
    extras, engine, make_checkpoint, make_bundle, open_ready, tmp_path
):
    checkpoint = make_checkpoint()
    bundle = lora_bundle(make_bundle, checkpoint, {"rank": 4, "extras": extras})
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    hyper = {"lr": 1e-3, "eps": 1e-2, "batch_size": 7, "seed": 3, "weight_decay": 0.2}
    config = run_config(bundle, data, steps=50, **hyper)
    model = open_ready(bundle, engine)
    names = {p.name for p in bundle.parameters}
    assert ("lm_head.dense.weight" in names) == (extras == "lm_head")

    check(compare(bundle, checkpoint, data, config, model=model, folder=tmp_path / "run"))


def test_an_untrained_adapter_changes_nothing(engine, make_checkpoint, make_bundle, open_ready):
    checkpoint = make_checkpoint()
    bundles = make_bundle(checkpoint), lora_bundle(make_bundle, checkpoint, {})
    inputs = forward_inputs(16, bundles[0].config["vocab_size"], seed=1)
    full, lora = (
        open_ready(bundle, engine).engine.run(forward_loss_for(16), **inputs) for bundle in bundles
    )

    assert relative_error(lora[LOGITS], full[LOGITS]) <= 1e-6


def test_a_starts_uniform_within_its_bound_and_b_at_zero(make_bundle, open_ready):
    model = open_ready(lora_bundle(make_bundle, MICRO, {}), "litert")
    values = checkpoint_layout(model.bundle, model)

    drawn = np.concatenate([v.ravel() for name, v in values.items() if "lora_A" in name])
    bound = model.bundle.config["hidden_size"] ** -0.5
    assert 0.99 * bound < drawn.max() <= bound and -bound <= drawn.min() < -0.99 * bound
    assert abs(drawn.mean()) < 5 * bound / 3**0.5 / drawn.size**0.5
    assert not any(v.any() for name, v in values.items() if "lora_B" in name)
    firsts = {v.ravel()[0] for name, v in values.items() if "lora_A" in name}
    assert len(firsts) == sum("lora_A" in name for name in values), "every A has values of its own"


def test_the_command_line_trains_an_adapter_and_says_what_is_trained(tmp_path):
    bundle = tmp_path / "lora"
    flags = ["--task=sst2", "--lengths=32", f"--out={bundle}", "--tune=lora", "--lora_rank=4"]
    done = pocketllm("export", "--model=roberta-micro", *flags)
    assert done.returncode == 0, done.stderr
    exported = read_bundle(bundle)
    trained = sum(np.prod(p.shape) for p in exported.parameters)
    assert f"{trained:,} trained" in done.stdout
    assert exported.tune == "lora" and exported.lora["rank"] == 4 and len(exported.frozen) > 40
    printed = pocketllm("inspect", f"--bundle={bundle}", f"--json={tmp_path / 'told.json'}").stdout
    assert "lora of rank 4, alpha 16, on query, value, float32" in printed
    assert json.loads((tmp_path / "told.json").read_text())["trained_parameters"] == trained

    common = [f"--bundle={bundle}", f"--run={tmp_path / 'run'}"]
    steps = [f"--train={MICRO / 'sst2_train.tsv'}", "--steps=3", "--lr=1e-3"]
    assert pocketllm("train", *common, *steps).returncode == 0
    done = pocketllm("eval", *common, f"--data={MICRO / 'sst2_dev.tsv'}")
    assert done.returncode == 0 and "at step 3: accuracy" in done.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tune=lora", "--lora_targets=q_proj"], "no layer is called 'q_proj', expected query"),
        (["--tune=lora", "--lora_rank=0"], "--lora_rank=0: expected 1 or more"),
        (["--tune=lora", "--lora_alpha=nan"], "--lora_alpha=nan: expected a positive number"),
        (["--lora_rank=4"], "--lora_rank goes with --tune=lora, not full"),
    ],
)
def test_settings_that_make_no_sense_are_refused(flags, message, tmp_path):
    common = ["--model=roberta-micro", "--task=sst2", f"--out={tmp_path / 'out'}"]
    complaint(pocketllm("export", *common, *flags), 2, message)
