"""The texts of docs/kotlin.md's code are the runtime's, id for id."""

import pytest

from pocketllm.runtime.data.tokenizer import load_tokenizer
from pocketllm.runtime.generate.writer import Writer, known_ids

pytestmark = pytest.mark.desktop
MOST, SEED, SCALE = 12, 3, 0.05
# The second begins as the first one; one is read by `decode` alone, one fills the context.
PROMPTS = [
    [7, 9, 11, 40, 41], [7, 9, 11, 40, 41, 42, 90], [5], list(range(10, 43)), list(range(20, 84)),
]  # fmt: skip


@pytest.fixture(scope="module")
def bundle(make_decoder, make_bundle):
    """Of learnt completions, LoRA on int8."""
    from pocketllm.export.tune.lora import Lora

    tuned = {"kind": "lora", "base": "int8", "lora": Lora()}
    return make_bundle(make_decoder(case="llama"), task="sft", lengths=(8, 16), context=64, **tuned)


def test_greedy_texts_are_the_runtimes_before_and_after_a_step(
    kotlin, bundle, open_ready, tmp_path
):
    model, tokenizer = (
        open_ready(bundle, "litert"),
        load_tokenizer(bundle.folder / "tokenizer.json"),
    )
    known = known_ids(tokenizer, bundle.config["vocab_size"])
    writer = Writer(model, tokenizer, known)
    expected = [list(writer.write(prompt, most=MOST).token_ids) for prompt in PROMPTS]
    model.perturb(SEED, SCALE)
    writer.forget()
    expected += [list(writer.write(prompt, most=MOST).token_ids) for prompt in PROMPTS]

    result = kotlin.well(
        tmp_path, "write", bundle=bundle.folder, packed=tmp_path, prompts=PROMPTS, most=MOST,
        known=int(known.sum()), seed=SEED, scale=SCALE,
    )  # fmt: skip

    assert known[: known.sum()].all(), "the driver takes the first ids"
    assert result.values("ids") == expected
    assert expected[: len(PROMPTS)] != expected[len(PROMPTS) :]
    assert len({len(ids) for ids in expected}) > 1 and max(map(len, expected)) == MOST


def test_what_cannot_be_continued_is_said(kotlin, bundle, micro, tmp_path):
    cases = (
        (bundle, [list(range(65))], "IllegalArgumentException: 65 ids, expected 1 to 64"),
        (bundle, [[]], "IllegalArgumentException: 0 ids, expected 1 to 64"),
        (micro("lora"), [[5]], "the bundle was exported without what generates"),
    )
    for opened, prompts, message in cases:
        result = kotlin.run(
            tmp_path, "write", bundle=opened.folder, packed=tmp_path, prompts=prompts, most=2,
            known=200, seed=1, scale=0.0,
        )  # fmt: skip

        assert result.code == 1 and message in result.errors
