"""Published chat templates with their own tokenizers: ids of a grid of chats are transformers'.

SmolLM2's stands in its GGUF file; others where POCKETLLM_TOKENIZERS says, as in
test_published_tokenizers.py.
"""

import os
from datetime import datetime
from pathlib import Path
from unittest import mock

import pytest
import smollm2
from tokenizers import Tokenizer

from pocketllm.export.chat.choose import chat_pieces
from pocketllm.export.chat.verify import grid
from pocketllm.export.checkpoint.tokenizer import NO_TOKENS, read_tokenizer
from pocketllm.export.sources.kinds import source_of
from pocketllm.runtime.bundle.contents import SpecialTokens
from pocketllm.runtime.data.spans import SpanTokenizer
from pocketllm.runtime.tasks.chat import render

pytestmark = [pytest.mark.desktop, pytest.mark.slow]

VARIABLE = "POCKETLLM_TOKENIZERS"
# Folder -> model_type. Llama 3's first template always writes the beginning of an answer.
PUBLISHED = {"qwen3": "qwen3", "gemma3": "gemma3_text", "llama3_2": "llama"}


def compare(folder, model_type, rows=None):
    from transformers import AutoTokenizer

    source = read_tokenizer(folder, NO_TOKENS, model_type, rows)
    pieces = chat_pieces(source, NO_TOKENS, needed=True, say=lambda line: None)
    theirs = AutoTokenizer.from_pretrained(str(folder))
    special = SpecialTokens(bos=None, eos=None, pad=0, mask=None)
    ours = SpanTokenizer(Tokenizer.from_str(source.tokenizer.to_str()), special)
    chats = list(grid(pieces.system is not None))[::3]
    encoded = ours.encode_all([render(pieces, *chat) for chat in chats])
    assert len(chats) > 200
    with mock.patch("transformers.utils.chat_template_utils.datetime") as clock:
        clock.now.return_value = datetime(2024, 7, 26)  # the day that Llama's falls back to
        for (messages, generation_prompt), (ids, _) in zip(chats, encoded):
            expected = theirs.apply_chat_template(
                messages, add_generation_prompt=generation_prompt, return_dict=True
            )
            assert ids.tolist() == expected["input_ids"]


def test_ids_of_smollm2s_chats_are_transformers():
    source = source_of(smollm2.needed())

    compare(source.tokenizer, "llama")


@pytest.mark.parametrize("name", PUBLISHED)
def test_ids_of_a_published_template_are_transformers(name):
    root = os.environ.get(VARIABLE)
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"{VARIABLE} names no folder with {name}")

    compare(Path(root) / name, PUBLISHED[name], 10**6)
