"""Greedy text against transformers.generate, id for id, on every causal architecture."""

import decoder_cases
import numpy as np
import pytest

from pocketllm.runtime.generate.conversation import Conversation
from pocketllm.runtime.generate.prompts import text_prompt
from pocketllm.runtime.generate.sampling import Sampling
from pocketllm.runtime.generate.writer import CONTEXT, LENGTH, STOP, Writer

pytestmark = pytest.mark.desktop

NEW, PROMPTS = 64, ("a great film", "It was a", "No", "a film " * 9)
TIE = 1e-4
SETTINGS = {"task": "sft", "lengths": (8, 16), "context": 128}


@pytest.fixture
def writer_of(open_ready):
    """Returns a bundle's Writer and Conversation."""

    def make(bundle, engine="litert"):
        conversation = Conversation(bundle)
        model = open_ready(bundle, engine)
        return Writer(model, conversation.tokenizer, conversation.known), conversation

    return make


def torch_model(checkpoint):
    """Returns transformers' model of a checkpoint, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def generated(model, ids, count=NEW, **settings):
    """Returns the new tokens of transformers.generate."""
    import torch

    with torch.no_grad():
        row = torch.tensor([list(ids)])
        both = model.generate(
            row,
            attention_mask=torch.ones_like(row),
            max_new_tokens=count,
            do_sample=False,
            pad_token_id=1,
            **settings,
        )
    return both[0, len(ids) :].tolist()


def assert_same_or_tied(model, ids, ours, theirs):
    """Asserts that two texts are the same up to where two logits are closer than TIE."""
    import torch

    if ours == theirs:
        return
    place = next(n for n, (a, b) in enumerate(zip(ours, theirs)) if a != b)
    with torch.no_grad():
        logits = model(torch.tensor([[*ids, *theirs[:place]]])).logits[0, -1].double()
    assert abs(logits[ours[place]] - logits[theirs[place]]) < TIE, (place, ours, theirs)


@pytest.mark.parametrize("case", [*decoder_cases.CASES, "opt"])
def test_greedy_text_is_that_of_transformers(
    case, make_decoder, make_opt_checkpoint, make_bundle, writer_of
):
    if case == "opt":
        checkpoint = make_opt_checkpoint(max_position_embeddings=128)
    else:
        checkpoint = make_decoder(case=case)
    writer, conversation = writer_of(make_bundle(checkpoint, **SETTINGS))
    model = torch_model(checkpoint)
    lengths = []
    for prompt in PROMPTS:
        ids = conversation.ids_of(text_prompt(prompt))
        written = writer.write(ids, most=NEW)
        theirs = generated(model, ids)
        assert_same_or_tied(model, ids, list(written.token_ids), theirs)
        assert written.ended == (STOP if len(theirs) < NEW else LENGTH) or theirs[-1] == 2
        lengths.append(len(theirs))
    assert max(lengths) == NEW


def test_a_penalty_is_that_of_transformers(make_decoder, make_bundle, writer_of):
    checkpoint = make_decoder(case="llama")
    writer, conversation = writer_of(make_bundle(checkpoint, **SETTINGS))
    model = torch_model(checkpoint)
    ids = conversation.ids_of(text_prompt(PROMPTS[0]))
    written = writer.write(ids, most=NEW, sampling=Sampling(repetition_penalty=1.3))

    assert list(written.token_ids) == generated(model, ids, repetition_penalty=1.3)
    assert list(written.token_ids) != generated(model, ids)


def test_what_the_cache_holds_is_not_read_again(make_decoder, make_bundle, writer_of):
    bundle = make_bundle(make_decoder(case="llama"), **SETTINGS)
    writer, conversation = writer_of(bundle)
    ids = conversation.ids_of(text_prompt("a great film was it"))
    first = writer.write(ids, most=20)
    longer = [*ids, *first.token_ids, *ids]
    second = writer.write(longer, most=20)
    fresh, _ = writer_of(bundle)
    alone = fresh.write(longer, most=20)

    assert (first.read_tokens, second.read_tokens) == (len(ids), len(ids) + 1)
    assert alone.read_tokens == len(longer)
    assert second.token_ids == alone.token_ids
    assert writer.write(longer, most=20).read_tokens == 1
    writer.forget()
    assert writer.write(longer, most=20).read_tokens == len(longer)


def test_a_text_ends_at_the_end_of_the_context(make_decoder, make_bundle, writer_of):
    checkpoint = make_decoder(case="llama")
    bundle = make_bundle(checkpoint, **(SETTINGS | {"context": 24}))
    writer, conversation = writer_of(bundle)
    ids = conversation.ids_of(text_prompt("a great film"))
    written = writer.write(ids, most=NEW)

    assert written.ended == CONTEXT
    assert len(ids) + len(written.token_ids) == 24 + 1
    theirs = generated(torch_model(checkpoint), ids, len(written.token_ids))
    assert list(written.token_ids) == theirs


def test_drawn_text_repeats_with_its_seed(make_decoder, make_bundle, writer_of):
    writer, conversation = writer_of(make_bundle(make_decoder(case="llama"), **SETTINGS))
    ids = conversation.ids_of(text_prompt("a great film"))

    def written(**changes):
        sampling = Sampling(**({"temperature": 1.0, "top_p": 0.95, "seed": 3} | changes))
        return writer.write(ids, most=NEW, sampling=sampling).token_ids

    assert written() == written() != written(seed=4)
    assert written(temperature=1e-5) == writer.write(ids, most=NEW).token_ids
    heard = []
    done = writer.write(ids, most=NEW, hear=heard.append)
    assert "".join(heard) == done.text and np.isfinite(done.seconds)
