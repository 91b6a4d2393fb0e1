"""`prefill_T` and `decode` against transformers: logits behind every token, however it was read."""

from contextlib import nullcontext

import decoder_cases
import numpy as np
import pytest
from conftest import ENGINES
from forward import relative_error
from trajectory import checkpoint_layout
from tuned import random_state

from pocketllm.runtime import contract

pytestmark = pytest.mark.desktop

TOLERANCE = 1e-5
CONTEXT, LENGTHS = 40, (8, 16)
# (bucket, tokens): full, cut, from the middle; then a token at a time to the end of the context.
READ = ((8, 8), (16, 11), (8, 3), *((1, 1),) * (CONTEXT - 22))
# Tables and matrices of several chunks, the last one cut off.
PIECES = {"chunk_values": 16 * 100, "linear_values": 16 * 16}
OPT_CASES = {
    "opt": {},
    "opt_350m": {"word_embed_proj_dim": 8, "do_layer_norm_before": False, "tied": False},
}
CASES = [*decoder_cases.CASES, *OPT_CASES]


@pytest.fixture
def checkpoint_of(make_decoder, make_opt_checkpoint):
    """Returns the folder of a case."""

    def make(case):
        if case in OPT_CASES:
            return make_opt_checkpoint(**OPT_CASES[case])
        return make_decoder(case=case)

    return make


def ids_of(bundle, count=CONTEXT, seed=0):
    """Returns random ids, none of them special."""
    return np.random.default_rng(seed).integers(4, bundle.config["vocab_size"], count)


def read_all(model, ids, plan=READ):
    """Reads ids by a plan; returns {tokens read: logits [V] behind them}."""
    place, logits = 0, {}
    for bucket, count in plan:
        outputs = model.prefill(ids[place : place + count], place, bucket)
        place += count
        logits[place] = outputs
    assert place == len(ids)
    return logits


def torch_logits(checkpoint, bundle, ids, values=None):
    """Returns transformers' logits [T, V] of the whole row, float64; with a learnt prefix's."""
    import torch
    from prefix_reference import prefixed
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float64, attn_implementation="eager"
    ).eval()
    row = torch.tensor(ids[None])
    seen = prefixed(bundle, values) if values else nullcontext()
    with torch.no_grad(), seen:
        return model(row, attention_mask=torch.ones_like(row)).logits[0].numpy()


@pytest.mark.parametrize("case", CASES)
def test_logits_behind_every_token_are_those_of_the_whole_row(
    case, checkpoint_of, make_bundle, open_ready
):
    checkpoint = checkpoint_of(case)
    bundle = make_bundle(checkpoint, task="sft", lengths=LENGTHS, context=CONTEXT, **PIECES)
    assert (bundle.context, bundle.prefills) == (CONTEXT, LENGTHS)
    ids = ids_of(bundle)
    expected = torch_logits(checkpoint, bundle, ids)

    for engine in ENGINES:
        model = open_ready(bundle, engine)
        model.initialize_cache()
        read_all(model, ids_of(bundle, seed=1))  # what another text left there is not seen
        for count, logits in read_all(model, ids).items():
            assert relative_error(logits, expected[count - 1]) <= TOLERANCE, (engine, count)


@pytest.mark.parametrize("case", ["qwen3", "gemma3_v4", "smollm3", "opt"])
def test_a_learnt_prefix_stands_before_the_text(case, checkpoint_of, make_bundle, open_ready):
    checkpoint = checkpoint_of(case)
    settings = {"kind": "prefix", "prefix_tokens": 3, "lengths": LENGTHS}
    bundle = make_bundle(checkpoint, task="lm", context=CONTEXT - 3, **settings)
    model = open_ready(bundle, "litert")
    values = random_state(model, seed=7)
    ids, plan = ids_of(bundle, CONTEXT - 3), READ[:-3]
    expected = torch_logits(checkpoint, bundle, ids, values)
    assert relative_error(torch_logits(checkpoint, bundle, ids[:9]), expected[:9]) > 0.01

    model.initialize_cache()
    for count, logits in read_all(model, ids, plan).items():
        assert relative_error(logits, expected[count - 1]) <= TOLERANCE, count


@pytest.mark.parametrize("base", [contract.FP32, contract.INT8])
def test_adapters_and_a_rounded_base_generate_what_the_loss_sees(
    base, checkpoint_of, make_bundle, open_ready
):
    """The mean log-probability of `forward_loss`'s learnt tokens, put together token by token."""
    bundle = make_bundle(
        checkpoint_of("llama"), task="sft", lengths=LENGTHS, context=CONTEXT, kind="lora", base=base
    )
    model = open_ready(bundle, "litert")
    random_state(model, seed=7)
    ids = ids_of(bundle, 16)
    model.initialize_cache()
    logits = read_all(model, ids, ((1, 1),) * 16)
    scores = np.array([logits[count] for count in range(1, 16)], np.float64)
    scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
    learnt = np.arange(1, 16) % 3 > 0
    expected = scores[range(15), ids[1:]][learnt].mean()

    rows = bundle.batch_size
    mask = np.zeros([rows, 16], np.int32)
    mask[0, 1:] = learnt
    outputs = model.engine.run(
        contract.forward_loss_for(16),
        input_ids=np.tile(ids, [rows, 1]).astype(np.int32),
        attention_mask=np.ones([rows, 16], np.int32),
        loss_mask=mask,
        weight=np.float32([1] + [0] * (rows - 1)),
    )
    assert outputs[contract.WEIGHT_SUM] == [learnt.sum()]
    assert relative_error(outputs[contract.LOSS], [-expected]) <= (
        TOLERANCE if base == contract.FP32 else 2e-2  # activations are rounded by rows together
    )


def test_a_token_at_a_time_is_a_prompt_at_once_bit_for_bit(checkpoint_of, make_bundle, open_ready):
    bundle = make_bundle(
        checkpoint_of("llama"), task="sft", lengths=LENGTHS, context=CONTEXT, **PIECES
    )
    model, ids = open_ready(bundle, "litert"), ids_of(bundle, 16)
    model.initialize_cache()
    at_once = model.prefill(ids, 0, 16)

    assert np.array_equal(read_all(model, ids, ((1, 1),) * 16)[16], at_once)


def test_what_is_generated_leaves_the_parameters_alone(checkpoint_of, make_bundle, open_ready):
    bundle = make_bundle(
        checkpoint_of("llama"), task="sft", lengths=LENGTHS, context=CONTEXT, **PIECES
    )
    model = open_ready(bundle, "litert")
    before = checkpoint_layout(bundle, model)
    model.initialize_cache()
    first = model.prefill(ids_of(bundle, 8), 0, 8)
    model.perturb(3, 0.1)
    moved = model.prefill(ids_of(bundle, 8), 0, 8)
    model.perturb(3, -0.1)

    after = checkpoint_layout(bundle, model)
    assert relative_error(moved, first) > 1e-3, "tuned parameters are seen at once"
    assert all(relative_error(after[name], before[name]) < 1e-6 for name in before)
    assert not any(name.startswith("cache/") for name, _ in model.read())


def test_a_task_with_labels_generates_where_it_is_asked_to(checkpoint_of, make_bundle, open_ready):
    checkpoint = checkpoint_of("qwen2")
    bundle = make_bundle(checkpoint, task="cb", lengths=LENGTHS, generate=True, **PIECES)
    assert bundle.scoring == contract.WORDS and bundle.context == 256
    ids = ids_of(bundle, 22)
    expected = torch_logits(checkpoint, bundle, ids)
    model = open_ready(bundle, "litert")
    model.initialize_cache()

    for count, logits in read_all(model, ids, READ[:3]).items():
        assert relative_error(logits, expected[count - 1]) <= TOLERANCE
