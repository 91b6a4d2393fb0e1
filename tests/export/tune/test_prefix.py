"""Prefix tuning against transformers, its attention given the same keys and values."""

import numpy as np
import pytest
from forward import forward_inputs, model_forward, relative_error
from opt_forward import WITH_TOKENS, opt_inputs, score_arrays, task_of
from small_runs import complaint, mezo_steps, pocketllm, rows, run_config, write_tsv
from trajectory import check, checkpoint_layout, compare
from tuned import random_state

from pocketllm.runtime.contract import LOGITS, LOSS, forward_loss_for
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.run.loop import train

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5  # of float32 in the graph against float64


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_roberta_has_the_losses_and_logits_of_transformers(
    activation, engine, make_checkpoint, make_bundle, open_ready
):
    from prefix_reference import prefixed
    from transformers import RobertaForMaskedLM

    checkpoint = make_checkpoint(hidden_act=activation, tied=activation == "gelu")
    bundle = make_bundle(checkpoint, kind="prefix")
    model = open_ready(bundle, engine)
    values = random_state(model, seed=7)
    theirs = RobertaForMaskedLM.from_pretrained(checkpoint, attn_implementation="eager")

    for tokens in bundle.lengths:
        inputs = forward_inputs(tokens, bundle.config["vocab_size"], seed=2)
        plain = model_forward(theirs.double().eval(), inputs, bundle.word_ids)[1]
        with prefixed(bundle, values):
            loss, logits = model_forward(theirs, inputs, bundle.word_ids)
        actual = model.engine.run(forward_loss_for(tokens), **inputs)
        assert relative_error(actual[LOSS], loss) <= TOLERANCE
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE
        assert relative_error(plain, logits) > 0.01, "the prefix counts"


@pytest.mark.parametrize("scoring", WITH_TOKENS)
def test_opt_has_the_losses_and_scores_of_transformers(
    scoring, engine, make_opt_checkpoint, make_bundle, open_ready
):
    from opt_torch_reference import load
    from prefix_reference import prefixed

    checkpoint = make_opt_checkpoint(max_position_embeddings=200)
    bundle = make_bundle(
        checkpoint, task=task_of(scoring), lengths=(9, 150), kind="prefix", prefix_tokens=3
    )
    model = open_ready(bundle, engine)
    values = random_state(model, seed=7)
    theirs = load(checkpoint)

    for tokens in bundle.lengths:
        inputs = opt_inputs(bundle, tokens, seed=3)
        with prefixed(bundle, values):
            loss, logits, _ = score_arrays(theirs, bundle, inputs)
        actual = model.engine.run(forward_loss_for(tokens), **inputs)
        assert relative_error(actual[LOSS], [loss]) <= TOLERANCE
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE


@pytest.mark.parametrize("architecture", ["roberta", "opt"])
def test_the_prefix_starts_as_the_models_own_keys_and_values_of_random_tokens(
    architecture, make_checkpoint, make_opt_checkpoint, make_bundle, open_ready
):
    import torch
    from transformers import OPTForCausalLM, RobertaForMaskedLM

    checkpoint = {"roberta": make_checkpoint, "opt": make_opt_checkpoint}[architecture]()
    bundle = make_bundle(checkpoint, kind="prefix", lengths=(9,), seed=4)
    values = checkpoint_layout(bundle, open_ready(bundle, "litert"))
    theirs = {"roberta": RobertaForMaskedLM, "opt": OPTForCausalLM}[architecture].from_pretrained(
        checkpoint
    )
    ids = np.random.default_rng(4).integers(0, bundle.config["vocab_size"], (1, 5))
    heard = {}
    for name, module in theirs.named_modules():
        if name.endswith(("key", "value", "k_proj", "v_proj")):
            module.register_forward_hook(lambda m, i, y, name=name: heard.update({name: y[0]}))
    with torch.no_grad():
        theirs.eval()(torch.tensor(ids), attention_mask=torch.ones(1, 5))

    assert len(values) == len(heard) == 2 * bundle.config["num_hidden_layers"]
    for name, tensor in heard.items():
        assert relative_error(values[f"{name}.prefix"], tensor.numpy()) <= TOLERANCE


@pytest.mark.parametrize("architecture", ["roberta", "opt"])
def test_twenty_prefix_steps_follow_pytorch(
    architecture, engine, make_checkpoint, make_opt_checkpoint, make_bundle, open_ready, tmp_path
):
    checkpoint = {"roberta": make_checkpoint, "opt": make_opt_checkpoint}[architecture]()
    bundle = make_bundle(checkpoint, kind="prefix", lengths=(24,), prefix_tokens=3)
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    hyper = {"lr": 1e-2, "eps": 1e-1, "batch_size": 7, "seed": 3, "weight_decay": 0.2}
    config = run_config(bundle, data, steps=20, **hyper)
    model = open_ready(bundle, engine)

    check(compare(bundle, checkpoint, data, config, model=model, folder=tmp_path / "run"))


def test_steps_of_a_prefix_are_those_of_its_losses(
    make_checkpoint, make_bundle, open_ready, tmp_path
):
    bundle = make_bundle(make_checkpoint(), kind="prefix")
    data = load_dataset(write_tsv(tmp_path / "train.tsv", rows(20, seed=3)), bundle)
    config = run_config(bundle, data, steps=30, lr=0.1, eps=0.1, batch_size=20)
    model = open_ready(bundle, "litert")
    train(model, data, tmp_path / "run", config)
    losses = [step.loss_plus for step in mezo_steps(tmp_path / "run")]

    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.parametrize(("tokens", "message"), [("0", "--prefix_tokens=0: expected 1 to 128")])
def test_a_prefix_of_no_tokens_is_refused(tokens, message, tmp_path):
    common = ["--model=roberta-micro", "--task=sst2", f"--out={tmp_path / 'out'}"]
    complaint(
        pocketllm("export", *common, "--tune=prefix", f"--prefix_tokens={tokens}"), 2, message
    )
