"""Byte-level tokenizers out of GGUF files: ids, frames, special tokens and chat templates."""

import json

import numpy as np
import pytest
from gguf_files import (
    AWKWARD,
    CHAT_TEMPLATE,
    NORMAL,
    USER_DEFINED,
    both,
    byte_level_vocabulary,
    files_of,
    tokenizer_of,
    write_plain_llama,
)

pytestmark = pytest.mark.desktop


@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2", "gpt-4o", "tekken", "gpt-2"])
def test_a_byte_level_vocabulary_gives_the_ids_that_transformers_gives(pre, tmp_path):
    write_plain_llama(tmp_path / "tiny.gguf", {"tokenizer.ggml.pre": pre})
    ours, theirs = both(tmp_path / "tiny.gguf", tmp_path / "out")
    for text in AWKWARD:
        if pre != "qwen2" or text.isascii():  # Qwen's own form of letters: see below
            assert ours(text).input_ids == theirs(text).input_ids, text
    turns = [{"role": "user", "content": "the"}]
    assert ours.chat_template == CHAT_TEMPLATE
    assert ours.apply_chat_template(turns) == theirs.apply_chat_template(turns)


@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2", "smollm", "gpt-4o", "tekken", "gpt-2"])
def test_a_text_is_cut_as_the_models_own_tokenizer_cuts_it(pre):
    from pocketllm.export.checkpoint.gguf.pre_tokenizers import PRE_TOKENIZERS

    text = "I'LL pay 12345½ don't\n\n  it's/ HelloWorld"
    cuts = {
        "llama-bpe": "I 'LL ␣pay ␣ 123 45½ ␣don 't ␤␤ ␣ ␣it 's / ␣HelloWorld",
        "qwen2": "I 'LL ␣pay ␣ 1 2 3 4 5 ½ ␣don 't ␤␤ ␣ ␣it 's / ␣HelloWorld",
        "smollm": "I ' LL ␣pay ␣ 1 2 3 4 5 ½ ␣don 't ␤␤␣ ␣it 's / ␣HelloWorld",
        "gpt-4o": "I'LL ␣pay ␣ 123 45½ ␣don't ␤␤ ␣ ␣it's / ␣Hello World",
        "tekken": "I 'LL ␣pay ␣ 1 2 3 4 5 ½ ␣don 't ␤␤ ␣ ␣it 's / ␣Hello World",
        "gpt-2": "I ' LL ␣pay ␣12345½ ␣don 't ␤␤␣ ␣it 's / ␣HelloWorld",
    }
    pieces = PRE_TOKENIZERS[pre].built().pre_tokenize_str(text)
    shown = [text[a:b].replace(" ", "␣").replace("\n", "␤") for _, (a, b) in pieces]
    assert " ".join(shown) == cuts[pre]


def test_qwens_letters_are_composed_and_others_are_not(tmp_path):
    for pre, same in (("qwen2", True), ("deepseek-r1-qwen", False), ("llama-bpe", False)):
        write_plain_llama(tmp_path / f"{pre}.gguf", {"tokenizer.ggml.pre": pre})
        tokenizer = tokenizer_of(tmp_path / f"{pre}.gguf")
        assert (tokenizer.encode("e\u0301").ids == tokenizer.encode("é").ids) is same


def test_smollm_cuts_digits_that_transformers_does_not(tmp_path):
    merges = [*(" ".join(pair) for pair in (("1", "2"), ("Ġ", "1"))), "h e"]
    tokens, kinds = byte_level_vocabulary()
    tokens = [*tokens[:-2], "12", "Ġ1", "he2", tokens[-2]]
    write_plain_llama(
        tmp_path / "tiny.gguf",
        {
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [*kinds[:-2], NORMAL, NORMAL, NORMAL, USER_DEFINED],
            "tokenizer.ggml.merges": merges,
        },
        {"token_embd.weight": np.ones((len(tokens), 32), np.float32)},
    )
    tokenizer = tokenizer_of(tmp_path / "tiny.gguf")
    assert tokenizer.encode("a 12 he").tokens == ["a", "Ġ", "1", "2", "Ġ", "he"]


def test_special_tokens_are_what_the_file_says(tmp_path):
    write_plain_llama(tmp_path / "tiny.gguf")
    tokenizer = json.loads(files_of(tmp_path / "tiny.gguf")["tokenizer.json"])
    added = {token["content"]: token["special"] for token in tokenizer["added_tokens"]}
    assert added == {
        "<|endoftext|>": True, "<|im_start|>": True, "<|im_end|>": True, "<think>": False,
    }  # fmt: skip
    assert "[PAD266]" not in tokenizer["model"]["vocab"]


@pytest.mark.parametrize(
    "changes, bos",
    [
        ({"tokenizer.ggml.add_bos_token": True}, True),
        ({"tokenizer.ggml.add_bos_token": None}, False),
        ({"tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.pre": "llama-bpe"}, True),
        ({"tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.pre": "llama-bpe"}, False),
    ],
)
def test_a_text_begins_as_the_file_says_else_as_in_llama_cpp(changes, bos, tmp_path):
    write_plain_llama(tmp_path / "tiny.gguf", changes)
    tokens = tokenizer_of(tmp_path / "tiny.gguf").encode("the").tokens
    assert tokens == (["<|im_start|>"] if bos else []) + ["t", "he"]


def test_an_end_token_stands_behind_a_text_where_the_file_says_so(tmp_path):
    write_plain_llama(tmp_path / "tiny.gguf", {"tokenizer.ggml.add_eos_token": True})
    tokenizer = tokenizer_of(tmp_path / "tiny.gguf")
    assert tokenizer.encode("he").tokens == ["he", "<|im_end|>"]
    assert tokenizer.encode("he", "he").tokens == ["he", "<|im_end|>", "he", "<|im_end|>"]


@pytest.mark.parametrize(
    "changes, ends",
    [
        ({}, 2),
        ({"tokenizer.ggml.eos_token_id": 0}, [0, 2]),
        ({"tokenizer.ggml.eos_token_id": 0, "tokenizer.chat_template": None}, 0),
        ({"tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.eot_token_id": 1}, [0, 1]),
    ],
)
def test_a_turn_may_end_with_another_token_than_a_text(changes, ends, tmp_path):
    write_plain_llama(tmp_path / "tiny.gguf", changes)
    files = files_of(tmp_path / "tiny.gguf")
    assert json.loads(files["generation_config.json"])["eos_token_id"] == ends


def test_several_chat_templates_keep_their_names(tmp_path):
    named = {"tokenizer.chat_templates": ["tool_use"], "tokenizer.chat_template.tool_use": "T"}
    write_plain_llama(tmp_path / "tiny.gguf", named)
    config = json.loads(files_of(tmp_path / "tiny.gguf")["tokenizer_config.json"])
    assert config["chat_template"] == [
        {"name": "default", "template": CHAT_TEMPLATE},
        {"name": "tool_use", "template": "T"},
    ]
