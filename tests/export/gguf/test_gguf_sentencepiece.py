"""SentencePiece vocabularies out of GGUF files, whose scores stand for merges."""

import itertools
import json

import numpy as np
import pytest
from checkpoint_files import refusal
from gguf_files import (
    AWKWARD,
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    both,
    files_of,
    plain_llama,
    tokenizer_of,
    write_gguf,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.desktop
PIECES = ("t", "h", "e", "l", "o", "▁", "th", "he", "▁t", "ll", "▁th", "▁the", "hell", "lo", "oo")
SPM_TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES]
SPM_KINDS = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(PIECES)
SPM_SCORES = [0.0] * 259 + [-100.0] * 6 + [-float(rank) for rank in range(len(PIECES) - 6)]


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
