"""LoRA, prefixes and label words of decoders, and Adam's steps, against PEFT and transformers."""

import numpy as np
import pytest
from adam_trajectory import take_steps
from conftest import ENGINES
from forward import relative_error
from gradients import TOLERANCE as GRADIENT_TOLERANCE
from gradients import export_gradients, gradients_in
from opt_forward import SCORINGS, opt_inputs, task_of, torch_scores
from trajectory import checkpoint_layout
from tuned import random_state

from pocketllm.runtime.contract import GOLD, INT4, INT8, LOGITS, LOSS, OPTIONS, forward_loss_for

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5
TOKENS, PREFIX = 140, 5
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
EVERY_LAYER = (*ATTENTION, "gate_proj", "up_proj", "down_proj")
# case: (scoring, settings of Lora)
LORA = {
    "llama_wide": (GOLD, {"rank": 3, "alpha": 4.0, "targets": EVERY_LAYER}),
    "gemma3": (OPTIONS, {}),
}
# Between them norms of a head, windows shorter and longer than the prefix, layers without rope.
PREFIXES = {"qwen3": "words", "gemma3_v4": GOLD, "smollm3": "words"}
# Logits on a rounded base beside those on fp32.
BOUNDS = {INT8: 0.06, INT4: 0.6}


def compare(bundle, theirs, expected_of, open_ready):
    """Asserts scores and gradients of both engines at a drawn state.

    Args:
      bundle: of `export_gradients`.
      theirs: {parameter: values} -> transformers' model.
      expected_of: {parameter: values}, loss -> {parameter: gradient} as PyTorch gives it.
      open_ready: opens the bundle.
    """
    inputs = opt_inputs(bundle, TOKENS, seed=5)
    for engine in ENGINES:
        model = open_ready(bundle, engine)
        values = random_state(model, seed=7)
        (loss, logits), gradients = expected_of(values, theirs, inputs)
        actual = model.engine.run(forward_loss_for(TOKENS), **inputs)
        assert relative_error(actual[LOSS], [loss]) <= TOLERANCE, engine
        assert relative_error(actual[LOGITS][:2], logits) <= TOLERANCE, engine
        ours = gradients_in(model, inputs, TOKENS)
        assert gradients.keys() == ours.keys()
        # A window may end before the prefix; then nothing depends on it.
        unseen = {name for name, gradient in gradients.items() if not gradient.any()}
        assert unseen <= {name for name in gradients if name.endswith(".prefix")}
        assert len(unseen) < len(gradients) / 2 and not any(ours[name].any() for name in unseen)
        for name in gradients.keys() - unseen:
            error = relative_error(ours[name], gradients[name])
            assert error <= GRADIENT_TOLERANCE, (name, engine)


def scored(model, bundle, inputs, leaves):
    """Returns ((loss, scores), {parameter: gradient}) of tensors that the loss depends on."""
    import torch

    loss, logits, _ = torch_scores(model, bundle, inputs)
    derivatives = torch.autograd.grad(loss, list(leaves.values()))
    gradients = {name: gradient.numpy() for name, gradient in zip(leaves, derivatives)}
    return (float(loss.detach()), logits.detach().numpy()), gradients


@pytest.mark.parametrize("case", LORA)
def test_lora_has_the_scores_and_gradients_of_peft(case, make_decoder, open_ready, tmp_path):
    import torch
    from adam_reference import TorchAdam

    from pocketllm.export.tune.lora import Lora

    (scoring, settings), checkpoint = LORA[case], make_decoder(case=case)
    bundle = export_gradients(
        checkpoint, tmp_path / "bundle", kind="lora", lora=Lora(**settings),
        task=task_of(scoring), lengths=(TOKENS,), linear_values=16 * 16,
    )  # fmt: skip

    def expected(values, _, inputs):
        reference = TorchAdam(checkpoint, bundle, torch.float64, values)
        return scored(reference.model, bundle, inputs, reference.tensors)

    compare(bundle, None, expected, open_ready)


@pytest.mark.parametrize("case", PREFIXES)
def test_a_prefix_starts_as_the_models_own_and_has_the_scores_and_gradients_of_a_cache(
    case, make_decoder, open_ready, tmp_path
):
    import torch
    from peft_reference import torch_model
    from prefix_reference import prefixed

    checkpoint = make_decoder(case=case)
    bundle = export_gradients(
        checkpoint, tmp_path / "bundle", kind="prefix", prefix_tokens=PREFIX, seed=4,
        task=task_of(PREFIXES[case]), lengths=(TOKENS,),
    )  # fmt: skip
    theirs = torch_model(checkpoint, bundle).double().eval()
    first = checkpoint_layout(bundle, open_ready(bundle, "litert"))
    ids = np.random.default_rng(4).integers(0, bundle.config["vocab_size"], (1, PREFIX))
    with torch.no_grad():
        cache = theirs(torch.tensor(ids), use_cache=True).past_key_values
    recorded = [t for layer in cache.layers for t in (layer.keys, layer.values)]
    assert len(recorded) == len(first)
    for (name, values), tensor in zip(first.items(), recorded):
        rows = tensor[0].transpose(0, 1).reshape(tensor.shape[2], -1).numpy()
        # A cache of a window forgets what no later row sees.
        assert relative_error(values[-len(rows) :], rows) <= TOLERANCE, name

    def expected(values, model, inputs):
        leaves = {name: torch.tensor(v).double().requires_grad_() for name, v in values.items()}
        with prefixed(bundle, leaves):
            return scored(model, bundle, inputs, leaves)

    compare(bundle, theirs, expected, open_ready)


def test_the_label_words_have_the_scores_and_gradients_of_transformers(
    make_decoder, open_ready, tmp_path
):
    import torch
    from peft_reference import torch_model

    checkpoint = make_decoder(case="llama_wide")
    bundle = export_gradients(checkpoint, tmp_path / "bundle", kind="head", lengths=(TOKENS,))
    theirs, ids = torch_model(checkpoint, bundle).double().eval(), list(bundle.word_ids)

    def expected(values, model, inputs):
        (name, words), head = *values.items(), model.lm_head.weight
        with torch.no_grad():
            head[ids] = torch.tensor(words).double()
        scores, gradients = scored(model, bundle, inputs, {name: head})
        return scores, {name: gradients[name][ids]}

    compare(bundle, theirs, expected, open_ready)


@pytest.mark.parametrize("case", ["llama_wide", "gemma3"])
def test_twenty_steps_of_adam_are_those_of_adamw(case, make_decoder, make_bundle, open_ready):
    checkpoint = make_decoder(case=case)
    bundle = make_bundle(checkpoint, adam=True, lengths=(12, 20), chunk_values=16 * 100)

    def make_inputs(bundle, tokens, number):
        return opt_inputs(bundle, tokens, number % 4)

    for engine in ENGINES:
        take_steps(
            checkpoint, bundle, engine, make_inputs, open_ready, weight_decay=0.5, linear=True
        )


@pytest.mark.parametrize("base", BOUNDS)
@pytest.mark.parametrize("case", ["llama_wide", "gemma3"])
def test_scores_on_a_rounded_base_are_near_those_on_fp32(
    case, base, make_decoder, make_bundle, open_ready
):
    checkpoint = make_decoder(case=case)
    common = {"task": SCORINGS["words"], "lengths": (TOKENS,), "kind": "lora"}
    whole, rounded = (
        open_ready(make_bundle(checkpoint, base=kind, **common), "litert")
        for kind in ("fp32", base)
    )
    inputs = opt_inputs(whole.bundle, TOKENS, seed=3)
    expected, actual = (
        model.engine.run(forward_loss_for(TOKENS), **inputs)[LOGITS][:2]
        for model in (whole, rounded)
    )

    error = relative_error(actual, expected)
    print(f"{case} on {base}: {error:.4f}")
    assert 0 < error <= BOUNDS[base]
