"""The bench on every kind of model: transformers' own config and weights, and our loss."""

import numpy as np
import pytest

from pocketllm.benchmarks.bench.baselines import baselines_of
from pocketllm.benchmarks.bench.flops import forward_flops
from pocketllm.benchmarks.bench.workload import Workload, random_rows
from pocketllm.runtime.data.batches import micro_batches

pytestmark = pytest.mark.desktop
WORK = Workload("bundle", "litert", 1, 6, seq_len=8, steps=2, seed=3, second_len=16)
DECODERS = ("llama_wide", "qwen2", "qwen3", "gemma3", "smollm3")
ENCODERS = ("bert", "distilbert", "modernbert")


@pytest.mark.parametrize("case", [*DECODERS, *ENCODERS])
def test_every_side_of_pytorch_has_our_loss_before_the_first_step(
    case, make_decoder, make_encoder, make_bundle, open_ready
):
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    from pocketllm.benchmarks.bench.pytorch.model import load_model, one_batch, word_loss

    is_decoder = case in DECODERS
    checkpoint = make_decoder(case=case) if is_decoder else make_encoder(model_type=case)
    bundle = make_bundle(checkpoint)
    model = load_model(bundle)
    loader = AutoModelForCausalLM if is_decoder else AutoModelForMaskedLM
    saved = loader.from_pretrained(checkpoint).state_dict()

    assert model.config.tie_word_embeddings == bundle.tied_decoder
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values.numpy(), saved[name].numpy())
    rows, pad_id = random_rows(WORK, bundle, step=0, tokens=8), bundle.special_tokens.pad
    batches = micro_batches(rows, bundle.batch_size, bundle.lengths, pad_id)
    ours = open_ready(bundle, "litert").loss(batches)
    for side in baselines_of(bundle).values():
        batch = one_batch(rows, tokens=8, pad_id=pad_id)
        theirs = word_loss(model, batch, bundle.word_ids, side["full_head"]).item()
        assert theirs == pytest.approx(ours, rel=1e-5) and theirs > 0.1
    assert forward_flops(bundle, tokens=8) > 0
