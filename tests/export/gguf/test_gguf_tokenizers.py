"""Tokenizers out of GGUF files: ids, frames, special tokens and chat templates."""

import itertools
import json

import numpy as np
import pytest
from checkpoint_files import refusal
from gguf_files import (
    BYTE,
    CHAT_TEMPLATE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    byte_level_vocabulary,
    plain_llama,
    write_gguf,
    write_plain_llama,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.desktop
AWKWARD = (
    "", " ", "a", " a", "  a", "a ", "\n", "\n\n\n", "\t x", "hello there", "Hello, the World!",
    "don't can't I'LL we've", "12345", "3.14159", "1,234,567.89", "héllo", "naïve café",
    "e\u0301 ﬁ", "日本語のテキスト", "中文字符测试", "한국어", "Привет мир", "مرحبا", "שלום", "🙂",
    "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "a🙂b", "def f(x):\n    return x**2\n", "for(i=0;i<10;++i){a[i]+=1;}",
    "<html><body>&nbsp;</body>", '{"a": [1, 2, null]}', "<|im_start|>user\nHi<|im_end|>\n",
    "<|endoftext|>", "<think>", "<thinking>", "<pad>", "</s>", "[PAD266]", "https://e.com/?q=a%20b",
    "a\u00a0b", "a\u200bb", "\ufeffx", "x" * 50, " " * 17, "\r\n\r\n", "A\tB", "½ ¼ ²", "١٢٣", "Ⅷ",
    "ſtraße ẞ", "ไทย", "hello<think>the", " 7 8", "the the  the   the", "snake_case camelCase",
)  # fmt: skip
PIECES = ("t", "h", "e", "l", "o", "▁", "th", "he", "▁t", "ll", "▁th", "▁the", "hell", "lo", "oo")
SPM_TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES]
SPM_KINDS = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(PIECES)
SPM_SCORES = [0.0] * 259 + [-100.0] * 6 + [-float(rank) for rank in range(len(PIECES) - 6)]


def files_of(path):
    from pocketllm.export.checkpoint.gguf.model import read_gguf

    return read_gguf(path).files


def tokenizer_of(path):
    from tokenizers import Tokenizer

    return Tokenizer.from_str(files_of(path)["tokenizer.json"].decode())


def both(path, folder):
    """Returns AutoTokenizer of what we rebuild, and transformers' own of the GGUF file."""
    from transformers import AutoTokenizer

    folder.mkdir()
    for name, data in files_of(path).items():
        (folder / name).write_bytes(data)
    ours = AutoTokenizer.from_pretrained(folder)
    return ours, AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def spm_metadata(**changes):
    """Returns metadata and tensors of a llama with a SentencePiece vocabulary."""
    metadata, tensors = plain_llama()
    metadata = {key: v for key, v in metadata.items() if not key.startswith("tokenizer.")}
    metadata |= {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": SPM_TOKENS,
        "tokenizer.ggml.token_type": SPM_KINDS,
        "tokenizer.ggml.scores": SPM_SCORES,
    } | changes
    rows = len(metadata["tokenizer.ggml.tokens"])
    return metadata, tensors | {"token_embd.weight": np.ones((rows, 32), np.float32)}


@pytest.fixture(scope="module")
def spm(tmp_path_factory):
    """The tokenizer of a SentencePiece vocabulary."""
    path = tmp_path_factory.mktemp("spm") / "tiny.gguf"
    write_gguf(path, *spm_metadata())
    return tokenizer_of(path)


def sentencepiece_ids(text):
    """Merges as SentencePiece does: the pair with the best score, the first of the best."""
    ids = {token: number for number, token in enumerate(SPM_TOKENS)}
    symbols = list(("▁" + text).replace(" ", "▁")) if text else []
    while True:
        pairs = [
            (-SPM_SCORES[ids[a + b]], index)
            for index, (a, b) in enumerate(itertools.pairwise(symbols))
            if a + b in PIECES
        ]
        if not pairs:
            break
        _, index = min(pairs)
        symbols[index : index + 2] = ["".join(symbols[index : index + 2])]
    known = [[ids[symbol]] if symbol in ids else _bytes(symbol, ids) for symbol in symbols]
    return [number for numbers in known for number in numbers]


def _bytes(symbol, ids):
    return [ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from("thelo  \nxé🙂▁")))
@example(text="the hell")
@example(text=" the")
@example(text="ooooo")
def test_a_sentencepiece_vocabulary_merges_by_its_scores(text, spm):
    assert spm.encode(text, add_special_tokens=False).ids == sentencepiece_ids(text)
    assert spm.encode(text).ids == [1, *sentencepiece_ids(text)]


def test_a_sentencepiece_vocabulary_gives_the_ids_that_transformers_gives(tmp_path):
    ids = {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
    written = {f"tokenizer.ggml.{name}": number for name, number in ids.items()}
    write_gguf(tmp_path / "tiny.gguf", *spm_metadata(**written))
    ours, theirs = both(tmp_path / "tiny.gguf", tmp_path / "out")
    # transformers takes the space in front of a text away where it begins with one.
    for text in (text for text in AWKWARD if not text.startswith(" ")):
        assert ours(text).input_ids == theirs(text).input_ids, text
        assert ours.decode(ours(text).input_ids) == theirs.decode(theirs(text).input_ids)
    assert (ours.bos_token, ours.eos_token, ours.unk_token) == ("<s>", "</s>", "<unk>")


def test_no_text_is_merged_into_a_control_token(tmp_path):
    tokens = [*SPM_TOKENS, "<", "s", ">", "<s", "s>"]
    kinds, scores = SPM_KINDS + [NORMAL] * 5, [*SPM_SCORES, -50.0, -50.0, -50.0, -5.0, -6.0]
    write_gguf(
        tmp_path / "tiny.gguf",
        *spm_metadata(
            **{
                "tokenizer.ggml.tokens": tokens,
                "tokenizer.ggml.token_type": kinds,
                "tokenizer.ggml.scores": scores,
            }
        ),
    )
    merges = json.loads(files_of(tmp_path / "tiny.gguf")["tokenizer.json"])["model"]["merges"]
    assert ["<", "s"] in merges and ["<s", ">"] not in merges


GEMMA_PIECES = ("▁", "a", "b", "ab", "▁a", "ba", "▁ab")
GEMMA_TOKENS = [
    "<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\n\n", "  ",
    "   ", *GEMMA_PIECES, "<start_of_turn>", "<end_of_turn>", "<unused0>",
]  # fmt: skip
GEMMA_KINDS = (
    [CONTROL] * 3 + [UNKNOWN] + [BYTE] * 256 + [USER_DEFINED] * 3 + [NORMAL] * 7 + [CONTROL] * 2
) + [UNUSED]


def test_gemmas_spaces_are_merged_in_the_order_of_their_ids(tmp_path):
    from transformers.integrations.gguf.gguf_tokenizer_mapping import convert_gguf_tokenizer

    from pocketllm.export.checkpoint.gguf.fields import Fields
    from pocketllm.export.checkpoint.gguf.tokenizer import build_tokenizer
    from pocketllm.export.checkpoint.gguf.vocabulary import read_vocabulary

    scores = [-1000.0 if kind == USER_DEFINED else 0.0 for kind in GEMMA_KINDS]
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": GEMMA_TOKENS,
        "tokenizer.ggml.token_type": np.array(GEMMA_KINDS, np.int32),
        "tokenizer.ggml.scores": np.array(scores, np.float32),
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
    }
    vocabulary = read_vocabulary(Fields(tmp_path / "x.gguf", metadata), len(GEMMA_TOKENS))
    ours = build_tokenizer(vocabulary, tmp_path / "x.gguf", ordered=True)
    theirs, _ = convert_gguf_tokenizer(
        "gemma3",
        {
            "tokenizer_type": "llama",
            "tokens": GEMMA_TOKENS,
            "scores": scores,
            "token_type": GEMMA_KINDS,
        },
    )
    for text in (
        *AWKWARD,
        "ab ab  ab   ab",
        "   ",
        "a\n\nb",
        "<start_of_turn>user\nab<end_of_turn>",
    ):
        expected = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, add_special_tokens=False).ids == expected, text
        assert ours.encode(text).ids == [2, *expected]


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


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"tokenizer.ggml.scores": SPM_SCORES[1:]}, "expected a number for each of 274 tokens"),
        ({"tokenizer.ggml.bos_token_id": 999}, "expected the id of one of 274 tokens"),
        ({"tokenizer.ggml.add_space_prefix": "no"}, "expected true or false"),
    ],
)
def test_a_sentencepiece_vocabulary_that_contradicts_itself_is_refused(changes, words, tmp_path):
    write_gguf(tmp_path / "tiny.gguf", *spm_metadata(**changes))
    assert words in refusal(files_of, tmp_path / "tiny.gguf")
