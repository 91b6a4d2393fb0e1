"""Questions and answers as bytes: their sizes, and what is refused."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady

from pocketllm.federated.protocol import (
    BEHIND,
    LOSSES,
    MOST_STEPS,
    REFUSED,
    Answer,
    Question,
    pack_answer,
    pack_question,
    read_answer,
    read_question,
)
from pocketllm.runtime.errors import InputError

QUESTION = Question(7, 3, 2, 2, 99, b"header", b"records")


def sign(data):
    return hmac.digest(b"key", data, "sha512")


def check(data, signature):
    if not hmac.compare_digest(sign(data), signature):
        raise InputError("not signed by the server")


def test_a_question_comes_back_with_and_without_a_signature():
    assert read_question(pack_question(QUESTION)) == QUESTION
    assert read_question(pack_question(QUESTION, sign), check) == QUESTION


@given(st.integers(0, len(pack_question(QUESTION, sign)) - 1), st.integers(1, 255))
@steady
def test_a_signed_question_with_any_byte_altered_is_refused(place, change):
    data = bytearray(pack_question(QUESTION, sign))
    data[place] ^= change

    with pytest.raises(InputError):
        read_question(bytes(data), check)


def test_a_question_without_a_signature_is_refused_where_one_is_due():
    with pytest.raises(InputError, match="not signed"):
        read_question(pack_question(QUESTION), check)


@pytest.mark.parametrize("steps", [0, MOST_STEPS + 1])
def test_a_question_of_impossible_length_is_refused(steps):
    data = pack_question(Question(7, 3, steps, 2, 99))

    with pytest.raises(InputError, match="refused"):
        read_question(data)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(LOSSES, 7, 2, b"12345678", (0.5, -1e-300)),
        Answer(BEHIND, 7, 0),
        Answer(REFUSED, 7, 1, text="another bundle; give the same"),
    ],
)
def test_an_answer_comes_back(answer):
    assert read_answer(pack_answer(answer)) == answer


@given(st.binary(max_size=200))
@steady
def test_bytes_from_anywhere_are_an_answer_or_an_input_error(data):
    for head in (b"", pack_answer(Answer(LOSSES, 7, 2))[:8]):
        try:
            read_answer(head + data)
        except InputError:
            continue


def test_a_round_takes_at_most_a_kilobyte_and_ninety_bytes_a_direction():
    record, directions = 72, 64
    question = Question(7, 65, directions, 0, 99, b"h" * 500, bytes(record * directions))
    answer = Answer(LOSSES, 7, 64, losses=(0.5, 0.25) * directions)

    payload = len(pack_question(question, sign)) + len(pack_answer(answer))

    assert payload <= 1024 + 90 * directions
