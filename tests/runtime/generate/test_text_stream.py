"""Text shown while it is written: whole characters, and in the end all of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pocketllm.runtime.data.tokenizer import load_tokenizer, token_ids
from pocketllm.runtime.generate.text_stream import UNFINISHED, TextStream, text_of_ids

CAUSAL = Path(__file__).resolve().parents[2] / "conformance" / "causal" / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer():
    """Byte by byte: a character beyond ASCII is several tokens."""
    return load_tokenizer(CAUSAL)


def pieces_of(tokenizer, ids):
    stream = TextStream(tokenizer)
    return [stream.add(number) for number in ids], stream.finish()


@steady
@given(text=st.text(st.characters(exclude_characters=UNFINISHED, codec="utf-8"), max_size=30))
def test_pieces_are_the_text_in_whole_characters(tokenizer, text):
    pieces, rest = pieces_of(tokenizer, token_ids(tokenizer, text))

    assert "".join(pieces) == text and rest == ""


@steady
@given(st.data())
def test_any_tokens_end_as_their_text(tokenizer, data):
    size = tokenizer.get_vocab_size()
    ids = data.draw(st.lists(st.integers(0, size - 1), max_size=40))
    pieces, rest = pieces_of(tokenizer, ids)

    assert "".join(pieces) + rest == text_of_ids(tokenizer, ids)


def test_a_character_comes_with_its_last_byte(tokenizer):
    ids = token_ids(tokenizer, "a€b")
    pieces, _ = pieces_of(tokenizer, ids)

    assert pieces == ["a", "", "", "€", "b"] and len(ids) == 5


def test_special_tokens_are_no_text():
    tokenizer = load_tokenizer(CAUSAL)
    tokenizer.add_special_tokens(["</s>"])
    eos = tokenizer.token_to_id("</s>")
    a, b = token_ids(tokenizer, "ab")

    assert pieces_of(tokenizer, [eos, a, eos, b, eos]) == (["", "a", "", "b", ""], "")


def test_a_space_in_front_of_a_word_is_kept_where_a_decoder_strips_the_first():
    vocabulary = {"▁It": 0, "▁was": 1, "s": 2, "<unk>": 3}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()

    assert pieces_of(tokenizer, [0, 2, 1]) == (["It", "s", " was"], "")
