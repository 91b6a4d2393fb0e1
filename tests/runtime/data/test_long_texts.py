"""Rows of megabytes: a part is tokenised, and the ids are those of tokenising all."""

from pathlib import Path

import numpy as np
import pytest
from encoding import causal_format, masked_format
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pocketllm.export.checkpoint.tokenizer import tokenizer_for
from pocketllm.export.tasks.own_data import option_text_task, text_task
from pocketllm.runtime import contract
from pocketllm.runtime.data import encode_causal, encode_masked, long_texts
from pocketllm.runtime.data import tokenizer as calls
from pocketllm.runtime.data.long_texts import head_ids, tail_of
from pocketllm.runtime.data.reader import Example
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks import causal, masked

TOKENIZER = Path(__file__).resolve().parents[3] / "tflite_models" / "roberta_tokenizer"
GREAT = 372
WORDS = [
    "film", " great", " terrible", "It's", " don't", "’tis", "  two", "\n", "\n\n", "\t", "1234567",
    " 3.14", "<mask>", " <mask>", "<pad>", "</s>", "...", "!?", " -", "----------------", "é", "ß",
    "漢字", "，", "。", "😀", "👩‍👩‍👧", "नमस्ते", " https://a.b/c?d=e&f", "\u2028", "\xa0", "'",
    '"', "_",
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_for(TOKENIZER)


def ids_of(tokenizer, text):
    return calls.token_ids(tokenizer, text)


TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map("".join)


@settings(deadline=None, max_examples=300)
@given(piece=TEXTS, other=TEXTS, tokens=st.integers(1, 12))
def test_the_first_and_last_tokens_of_a_long_text_are_those_of_the_whole(
    piece, other, tokens, tokenizer
):
    unit = piece + " film" + other
    text = unit * (1 + 4000 // len(unit)) + piece
    whole = ids_of(tokenizer, text)

    head = head_ids(tokenizer, text, tokens)
    tail = tail_of(tokenizer, text, tokens)

    assert head == whole[: len(head)] and (len(head) >= tokens or len(head) == len(whole))
    assert text.endswith(tail) or text.endswith(tail[1:])
    assert ids_of(tokenizer, tail)[-tokens:] == whole[-tokens:]


@settings(deadline=None, max_examples=200)
@given(
    unit=st.sampled_from([".", "-", "=", "\n", "a", "7", "é", "😀", "漢", "!?", "ha"]),
    length=st.integers(1, 8192),
    around=st.sampled_from([("", ""), ("film ", ""), (" x", " end"), ('"', '"')]),
    tokens=st.integers(1, 24),
)
@example(unit=".", length=733, around=("", ""), tokens=8)
def test_a_run_without_a_place_to_cut_at_is_read_from_its_beginning(
    unit, length, around, tokens, tokenizer
):
    text = around[0] + unit * (length // len(unit)) + around[1]
    whole = ids_of(tokenizer, text)

    head = head_ids(tokenizer, text, tokens)

    assert head[:tokens] == whole[:tokens]
    assert ids_of(tokenizer, tail_of(tokenizer, text, tokens))[-tokens:] == whole[-tokens:]


@settings(deadline=None, max_examples=60)
@given(
    pieces=st.lists(TEXTS, min_size=3, max_size=3),
    repeats=st.integers(1, 60),
    tokens=st.integers(8, 24),
)
def test_rows_are_those_of_tokenising_all(pieces, repeats, tokens, tokenizer):
    first, second, third = ((piece + " film") * repeats for piece in pieces)
    rows = []
    for limit in (long_texts.LONG, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(long_texts, "LONG", limit)
            patch.setattr(encode_causal, "LONG", limit)
            rows.append([])
            for task in (
                masked.TASKS["mnli"],
                text_task("{premise} and {hypothesis} {mask} {a}", "0:a,1:b"),
            ):
                example = Example({"premise": first, "hypothesis": second, "a": third}, 0, 2)
                row = encode_masked.encode(example, masked_format(task, tokenizer, tokens))
                rows[-1].append((row.input_ids.tolist(), row.target, row.truncated))
            task = option_text_task("{premise} or {hypothesis} It was", "0:great,1:terrible")
            format_ = causal_format(
                task, tokenizer, contract.WORDS, tokens, 0, word_ids=(GREAT, 6587)
            )
            example = Example({"premise": first, "hypothesis": second}, 0, 2)
            (row,) = encode_causal.encode_all([example], format_, "f")[0].sequences
            rows[-1].append((row.input_ids.tolist(), row.target, row.truncated))

    assert rows[0] == rows[1]


@pytest.fixture
def tokenised(monkeypatch):
    """Counts the characters that reach the tokenizer."""
    counts = []

    def counted(call, size):
        return lambda tokenizer, what: counts.append(size(what)) or call(tokenizer, what)

    for module in (long_texts, encode_masked, encode_causal):
        if hasattr(module, "token_ids"):
            monkeypatch.setattr(module, "token_ids", counted(calls.token_ids, len))
        if hasattr(module, "all_token_ids"):
            total = counted(calls.all_token_ids, lambda texts: sum(map(len, texts)))
            monkeypatch.setattr(module, "all_token_ids", total)
    return counts


@pytest.mark.parametrize("unit", ["a great film . ", "word", "漢字，", "😀", "\n", "-", "<mask> "])
def test_five_megabytes_reach_the_tokenizer_in_a_part_only(unit, tokenizer, tokenised):
    text = "A " + unit * (5_000_000 // len(unit)) + " end"
    row = encode_masked.encode(
        Example({"sentence": text}, 0, 2), masked_format(masked.TASKS["sst2"], tokenizer, 64)
    )
    assert (len(row.input_ids), row.truncated) == (64, True)
    task = option_text_task("{text} It was", "0:great,1:terrible")
    format_ = causal_format(task, tokenizer, contract.WORDS, 64, 0, word_ids=(GREAT, 6587))
    (row,) = encode_causal.encode_all([Example({"text": text}, 0, 2)], format_, "f")[0].sequences
    assert (len(row.input_ids), row.truncated) == (64, True)
    assert row.input_ids[-3:].tolist() == [*ids_of(tokenizer, " end It was")]

    assert sum(tokenised) < 64 * 1024


def test_an_option_of_megabytes_is_refused_without_tokenising_it(tokenizer, tokenised):
    fields = {
        "premise": "It rained.",
        "question": "cause",
        "choice1": "so " * 10**6,
        "choice2": "b",
    }
    format_ = causal_format(causal.TASKS["copa"], tokenizer, contract.GOLD, 64, 20)

    with pytest.raises(
        InputError, match="f line 2: the option 'so .* takes 64 tokens or more, expected 1 to 20"
    ):
        encode_causal.encode_all([Example(fields, 0, 2)], format_, "f")

    assert sum(tokenised) < 64 * 1024


def test_many_rows_are_tokenised_a_part_at_a_time(tokenizer, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        encode_causal,
        "all_token_ids",
        lambda t, texts: sizes.append(sum(map(len, texts))) or calls.all_token_ids(t, texts),
    )
    monkeypatch.setattr(calls, "CHARACTERS_AT_ONCE", 1000)
    task = option_text_task("{text} It was", "0:great,1:terrible")
    format_ = causal_format(task, tokenizer, contract.WORDS, 64, 0, word_ids=(GREAT, 6587))
    examples = [Example({"text": f"film {i} " * 9}, 0, i) for i in range(50)]

    encoded = encode_causal.encode_all(iter(examples), format_, "f")

    assert len(sizes) > 5 and max(sizes) < 1500
    expected = [encode_causal.encode_all([e], format_, "f")[0].sequences[0] for e in examples]
    assert all(
        np.array_equal(e.sequences[0].input_ids, x.input_ids) for e, x in zip(encoded, expected)
    )
