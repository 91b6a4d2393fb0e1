"""SmolLM2-135M-Instruct's real weights write what transformers.generate writes, id for id."""

import json
from pathlib import Path

import pytest
import smollm2
from small_runs import pocketllm

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.generate.conversation import Conversation
from pocketllm.runtime.generate.prompts import chat_prompt, text_prompt
from pocketllm.runtime.generate.writer import Writer

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

NEW, TIE = 64, 1e-4
PARAGRAPHS = Path(__file__).parents[2] / "golden" / "real_text" / "paragraphs.json"
BEGINNINGS = (
    "The capital of France is", "Once upon a time", "Dear Sir or Madam,", "1, 2, 3, 4,",
    "To make bread you need",
)  # fmt: skip
MESSAGES = (
    "What is the capital of Italy?", "How do I boil an egg?", "Write a poem about rain.",
    "What is 7 times 8?", "Who wrote Hamlet?",
)  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """All parameters in fp32."""
    out = tmp_path_factory.mktemp("smollm2") / "bundle"
    done = pocketllm(
        "export", f"--model={smollm2.needed()}", "--task=chat", "--lengths=64,128",
        "--context=512", f"--out={out}", timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read_bundle(out)


def test_twenty_greedy_texts_are_those_of_transformers(bundle, open_ready):
    """Ten paragraphs' first words, five beginnings, five chats; a difference must be a tie."""
    from desktop_child import in_child

    conversation = Conversation(bundle)
    paragraphs = json.loads(PARAGRAPHS.read_text(encoding="utf-8"))
    prompts = [text_prompt(" ".join(text.split()[:12])) for text in paragraphs[:10]]
    prompts += map(text_prompt, BEGINNINGS)
    prompts += (chat_prompt(bundle, [{"role": "user", "content": text}]) for text in MESSAGES)
    all_ids = [conversation.ids_of(prompt) for prompt in prompts]
    assert len(all_ids) == 20
    writer = Writer(open_ready(bundle, "litert"), conversation.tokenizer, conversation.known)
    ours = [list(writer.write(ids, most=NEW).token_ids) for ids in all_ids]
    gaps = in_child("smollm2_reference.differences", smollm2.needed(), all_ids, ours)
    print(f"{sum(gap is None for gap in gaps)} of 20 texts equal in all ids; ties: {gaps}")

    assert len(gaps) == 20 and all(gap is None or gap < TIE for gap in gaps)
    assert max(map(len, ours)) == NEW
