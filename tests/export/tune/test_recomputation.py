"""A backward pass that runs every layer again gives the gradients of one that keeps all."""

import numpy as np
import pytest
from conftest import ENGINES
from forward import forward_inputs, relative_error
from opt_forward import opt_inputs, task_of
from recomputed import TOKENS, both_gradients, export_both
from tuned import random_state

from pocketllm.runtime.contract import GOLD, OPTIONS, TOKEN_LOSS, adam_step_for, forward_loss_for

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-6
ENCODERS = ("bert", "distilbert", "modernbert")
DECODERS = ("llama", "llama_wide", "qwen2", "qwen3", "gemma3", "smollm3")
EVERY_KIND = ("lora", "prefix", "head")
MASKED = [(case, kind, None) for case in ("roberta", *ENCODERS) for kind in EVERY_KIND]
CAUSAL = [
    (case, kind, scoring)
    for case in ("opt", *DECODERS)
    for kind, scoring in (("lora", TOKEN_LOSS), ("prefix", TOKEN_LOSS))
]
# The other scorings, in one model of each family.
OTHERS = [
    ("opt", "head", "words"), ("opt", "lora", GOLD), ("llama_wide", "head", "words"),
    ("gemma3", "lora", OPTIONS), ("gemma3", "prefix", GOLD),
]  # fmt: skip


@pytest.fixture
def checkpoint_of(make_checkpoint, make_opt_checkpoint, make_encoder, make_decoder):
    """Saves a tiny model of a case."""

    def make(case):
        if case == "roberta":
            return make_checkpoint()
        if case == "opt":
            return make_opt_checkpoint(max_position_embeddings=160)
        return make_encoder(model_type=case) if case in ENCODERS else make_decoder(case=case)

    return make


def settings_of(case, kind, scoring):
    from pocketllm.export.tune.lora import Lora

    settings = {"kind": kind} | ({"task": task_of(scoring)} if scoring else {})
    # An LM head of its own is trained too.
    extras = case == "llama_wide" and kind == "lora"
    return settings | ({"lora": Lora(extras="lm_head")} if extras else {})


@pytest.mark.parametrize(("case", "kind", "scoring"), [*MASKED, *CAUSAL, *OTHERS])
def test_the_graphs_gradients_are_the_same(case, kind, scoring, checkpoint_of):
    kept, recomputed = both_gradients(checkpoint_of(case), **settings_of(case, kind, scoring))

    assert kept.keys() == recomputed.keys() and kept
    scale = max(np.abs(gradient).max() for gradient in kept.values())
    assert scale > 1e-4
    for name, gradient in kept.items():
        assert np.abs(recomputed[name] - gradient).max() <= TOLERANCE * scale, name


# case: (kind, scoring)
ON_ENGINES = {
    "roberta": ("lora", None),
    "modernbert": ("prefix", None),
    "opt": ("prefix", TOKEN_LOSS),
    "llama_wide": ("lora", TOKEN_LOSS),
    "gemma3": ("lora", GOLD),
}


@pytest.mark.parametrize("case", ON_ENGINES)
def test_the_gradients_of_a_bundle_are_the_same(case, checkpoint_of, open_ready, tmp_path):
    kind, scoring = ON_ENGINES[case]
    settings = settings_of(case, kind, scoring) | {"lengths": (TOKENS,), "linear_values": 16 * 100}
    bundle = export_both(checkpoint_of(case), tmp_path / "bundle", **settings)
    inputs = (
        opt_inputs(bundle, TOKENS, seed=3)
        if scoring
        else forward_inputs(TOKENS, bundle.config["vocab_size"], seed=3)
    )
    signatures = [bundle.signatures[name(TOKENS)] for name in (forward_loss_for, adam_step_for)]
    assert signatures[0] == signatures[1], "recomputation adds no input"
    for engine in ENGINES:
        model = open_ready(bundle, engine)
        random_state(model, seed=7)
        kept = model.engine.run(forward_loss_for(TOKENS), **inputs)
        recomputed = model.engine.run(adam_step_for(TOKENS), **inputs)
        assert kept.keys() == recomputed.keys() and len(kept) > 1
        scale = max(np.abs(kept[name]).max() for name in kept if name != "loss")
        # The delegate fuses what stands side by side, which differs: the last bit may.
        assert relative_error(recomputed["loss"], kept["loss"]) <= 2e-7 and scale > 1e-4
        for name in kept.keys() - {"loss"}:
            assert np.abs(recomputed[name] - kept[name]).max() <= TOLERANCE * scale, (name, engine)
            assert relative_error(recomputed[name], kept[name]) <= 1e-4, (name, engine)
