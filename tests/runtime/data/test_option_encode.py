"""Scored options as token ids: what is cut, what stays, and which rows are refused."""

import pytest
from encoding import causal_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opt_reference import TOKENIZER

from pocketllm.export.checkpoint.label_words import scoring_of
from pocketllm.export.checkpoint.tokenizer import tokenizer_for
from pocketllm.export.tasks.own_data import option_text_task
from pocketllm.runtime.data.encode_causal import encode_all
from pocketllm.runtime.data.reader import Example
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.causal import TASKS

BOS, A, IT, WAS = 0, 10, 85, 21
PLAIN = option_text_task("{text} It was", "0:terrible,1:great")
LINE = option_text_task(r"{text}\n", "0:no,1:yes")
SEVERAL = option_text_task("{text}:", "0:very bad,1:good")
COPA = TASKS["copa"]
PREMISE = {"premise": "It rained.", "question": "effect", "choice1": "I ran.", "choice2": "We sat"}


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_for(TOKENIZER)


@pytest.fixture(scope="module")
def limits(tokenizer):
    """Returns the limits of a task at a longest bucket."""

    def of(task, tokens, option_tokens=50):
        scoring = scoring_of(task, tokenizer)
        word_ids = scoring.word_ids
        return causal_format(
            task, tokenizer, scoring.kind, tokens, option_tokens, word_ids=word_ids
        )

    return of


def encode_options(example, row_format, only_gold=False):
    """Encodes one row of a file named f."""
    return encode_all([example], row_format, "f", only_gold)[0]


def text(value):
    return Example({"text": value}, 1, 7)


@pytest.mark.parametrize(
    ("letters", "tokens", "expected"),
    [
        (4, 7, [BOS, 102, A, A, A, IT, WAS]),
        (4, 6, [BOS, A, A, A, IT, WAS]),  # the left gives way, <s> stays
        (4, 2, [BOS, WAS]),
        (4, 1, [BOS]),
    ],
)
def test_a_words_row_may_fill_the_bucket_because_the_word_is_not_in_it(
    letters, tokens, expected, tokenizer, limits
):
    ours = encode_options(text("a" + " a" * (letters - 1)), limits(PLAIN, tokens))

    (row,) = ours.sequences
    assert row.input_ids.tolist() == expected
    assert row.target == {"last_position": len(expected) - 1}
    assert ours.truncated == row.truncated == (tokens < 7)
    assert (ours.golds, ours.group) == ((1,), None)


def test_a_row_fills_any_bucket_that_is_exported_because_the_word_is_not_in_it(tokenizer, limits):
    for tokens in (2047, 2048, 2500, 4096):
        ours = encode_options(text("a" + " a" * 3000), limits(PLAIN, tokens))
        assert len(ours.sequences[0].input_ids) == min(tokens, 3004)


def test_white_space_around_the_users_text_does_not_change_the_row(tokenizer, limits):
    rows = [
        encode_options(text(value), limits(LINE, 32)).sequences[0]
        for value in ("a film", " a film \n ", "a film\t")
    ]

    assert len({tuple(row.input_ids.tolist()) for row in rows}) == 1


def test_a_prompt_whose_end_merges_with_the_word_is_refused_with_its_row(tokenizer, limits):
    wic = Example({"word": "w", "sentence1": "a", "sentence2": "b\n"}, 0, 3)
    with pytest.raises(InputError) as error:
        encode_options(wic, limits(TASKS["wic"], 64))
    message = "f line 3: the label word 'No' takes 2 tokens behind this prompt, expected 1; remove"
    assert str(error.value).startswith(message)

    bare = option_text_task("{text}", "0:terrible,1:great")
    with pytest.raises(InputError, match="f line 7: the label word ' terrible' takes .* fill in"):
        encode_options(text(" "), limits(bare, 64))


@pytest.mark.parametrize(
    ("changes", "tokens", "most", "message"),
    [
        ({"choice2": ""}, 32, 50, "the option '' is empty; fill it in"),
        (
            {},
            32,
            2,
            "the option 'I ran.' takes 3 tokens, expected 1 to 2; shorten it, or export with "
            "--option_tokens=3 or more",
        ),
        (
            {},
            3,
            50,
            "the option 'I ran.' takes 3 tokens, expected 1 to 2; shorten it, or export with "
            "longer --lengths",
        ),
        (
            {"choice1": "x " * 40},
            32,
            50,
            "the option 'x x x x x x x x x x x x x x x x x x x...' takes 40 tokens, expected 1 to "
            "31; shorten it, or export with longer --lengths",
        ),
    ],
)
def test_an_option_that_does_not_fit_is_named_with_its_row(
    changes, tokens, most, message, tokenizer, limits
):
    example = Example(PREMISE | changes, 0, 9)

    with pytest.raises(InputError) as error:
        encode_options(example, limits(COPA, tokens, most))

    assert str(error.value) == f"f line 9: {message}"


def test_training_encodes_the_gold_option_alone(tokenizer, limits):
    example = Example(PREMISE, 1, 9)
    whole = encode_options(example, limits(COPA, 32))
    gold = encode_options(example, limits(COPA, 32), only_gold=True)

    assert (len(whole.sequences), whole.golds) == (2, (1,))
    assert (len(gold.sequences), gold.golds) == (1, (0,))
    assert gold.sequences[0].input_ids.tolist() == whole.sequences[1].input_ids.tolist()
    assert gold.sequences[0].target == whole.sequences[1].target
    # All options of a class are trained on together, gold or not.
    classes = encode_options(text("a"), limits(SEVERAL, 9), only_gold=True)
    assert (len(classes.sequences), classes.golds) == (2, (1,))


@settings(deadline=None)
@given(
    value=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    tokens=st.integers(4, 40),
    task=st.sampled_from([PLAIN, LINE, SEVERAL]),
)
def test_what_is_cut_is_the_left_and_never_the_beginning_of_sequence(
    value, tokens, task, tokenizer, limits
):
    try:
        whole = encode_options(text(value), limits(task, 10_000))
        cut = encode_options(text(value), limits(task, tokens))
    except InputError as error:  # nothing but white space before the word
        assert task is LINE and "the label word" in str(error) and not value.strip()
        return

    for short, long in zip(cut.sequences, whole.sequences, strict=True):
        ids, all_ids = short.input_ids.tolist(), long.input_ids.tolist()
        assert len(ids) == min(len(all_ids), tokens)
        assert short.truncated == (len(all_ids) > tokens)
        assert ids[0] == BOS and ids[1:] == all_ids[len(all_ids) - len(ids) + 1 :]
        if "last_position" in short.target:
            assert short.target == {"last_position": len(ids) - 1}
        else:
            start, length = short.target["option_start"], short.target["option_tokens"]
            assert start >= 1 and start + length == len(ids)
            assert length == long.target["option_tokens"]
