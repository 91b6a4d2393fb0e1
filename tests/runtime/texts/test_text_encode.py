"""Learnt text as tokens: every learnt token is learnt once, no prompt's token is; cuts, windows."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import steady
from todays_tokenizers import MAKES
from tokenizers import Tokenizer

from pocketllm.export.checkpoint.special_spellings import frame_of
from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import SpecialTokens
from pocketllm.runtime.data.batches import micro_batches, training_row
from pocketllm.runtime.data.encode_text import cut, encode_all, windows
from pocketllm.runtime.data.encoded import RowFormat
from pocketllm.runtime.data.spans import span_ids
from pocketllm.runtime.data.text_reader import TextRow
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.chat import ChatPieces, Span, Turn
from pocketllm.runtime.tasks.text import EVERYTHING, TASKS, TextTask

ROWS = [
    ("sft", [("prompt", "It was"), ("completion", " great")]), ("lm", [("text", "It was great")]),
]  # fmt: skip
ENDS = "<|im_end|>\n", "nothing", "nothing", ()
CHATML = ChatPieces(
    start="", without_system="", system=Turn("<|im_start|>system\n", *ENDS),
    system_in_user=False, drops_empty_system=False, user=Turn("<|im_start|>user\n", *ENDS),
    assistant=Turn("<|im_start|>assistant\n", *ENDS), lead="", tail="", thinking=None,
    generation="<|im_start|>assistant\n", end="",
)  # fmt: skip
# Words and signs that tokens begin and end with, and characters of several bytes.
texts = st.text(alphabet=st.sampled_from(" \n.aIwtfYesé😀<|>7"), max_size=30)


def of_make(make):
    """Returns (tokenizer, the ids that frame a row) of a make."""
    tokenizer, settings = MAKES[make][1]()
    front = frame_of(tokenizer)[0]
    bos = tokenizer.token_to_id(front[0]) if front else None
    eos = tokenizer.token_to_id(settings["eos_token"])
    return tokenizer, SpecialTokens(bos=bos, eos=eos, pad=0, mask=None)


def encoded(make, task, messages, tokens=4096):
    tokenizer, special = of_make(make)
    row_format = RowFormat(task, tokenizer, special, contract.TOKEN_LOSS, (), tokens, 0, CHATML)
    rows = [TextRow(tuple({"role": r, "content": c} for r, c in messages), 1)]
    return [example.sequences[0] for example in encode_all(rows, row_format, "f")]


@pytest.mark.parametrize(("form", "messages"), ROWS)
def test_an_end_token_that_is_a_mere_word_of_the_vocabulary_ends_a_row(form, messages):
    tokenizer, special = of_make("smollm2")
    plain = json.loads(tokenizer.to_str()) | {"added_tokens": []}
    row_format = RowFormat(
        TASKS[form], Tokenizer.from_str(json.dumps(plain)), special, contract.TOKEN_LOSS, (), 64, 0,
        None,
    )  # fmt: skip
    rows = [TextRow(tuple({"role": r, "content": c} for r, c in messages), 1)]
    (example,) = encode_all(rows, row_format, "f")

    ids = tokenizer.encode("".join(text for _, text in messages)).ids
    assert example.sequences[0].input_ids.tolist() == [*ids, special.eos]
    assert example.sequences[0].loss_mask[-1] == 1


@pytest.mark.parametrize("make", MAKES)
def test_a_prompt_and_its_completion_are_tokenised_at_once_and_the_completion_is_learnt(make):
    tokenizer, special = of_make(make)
    prompt, answer = "Text: It was a film\nA:", " Yes great\n"
    plain = tokenizer.encode(prompt + answer).ids  # with what it puts in front
    before = len(tokenizer.encode(prompt).ids)

    (row,) = encoded(make, TASKS["sft"], [("prompt", prompt), ("completion", answer)])

    assert row.input_ids.tolist() == [*plain, special.eos]
    assert row.loss_mask.tolist() == [0] * before + [1] * (len(plain) - before + 1)
    assert not row.truncated


@pytest.mark.parametrize("make", MAKES)
def test_a_token_that_both_sides_share_is_learnt(make):
    tokenizer, special = of_make(make)
    (row,) = encoded(make, TASKS["sft"], [("prompt", "a "), ("completion", "film")])

    assert row.input_ids.tolist() == [*tokenizer.encode("a film").ids, special.eos]
    first = np.flatnonzero(row.loss_mask)[0]
    learnt = tokenizer.decode(row.input_ids[first:].tolist(), skip_special_tokens=True)
    assert learnt.strip() == "film"


@pytest.mark.parametrize("make", MAKES)
@steady
@given(parts=st.lists(st.tuples(texts, st.booleans()), min_size=1, max_size=6))
def test_ids_are_those_of_the_whole_text_and_learnt_is_what_has_a_learnt_character(make, parts):
    tokenizer, special = of_make(make)
    whole = "".join(text for text, _ in parts)
    tokenizer.encode_special_tokens = True  # what a person types is text
    expected = tokenizer.encode(whole, add_special_tokens=False)
    tokenizer.encode_special_tokens = False
    learnt = [flag for text, flag in parts for _ in text]

    ids, mask = span_ids([Span(t, False, flag) for t, flag in parts], tokenizer, special)

    begin = 0 if special.bos is None else 1
    assert ids.tolist() == ([] if special.bos is None else [special.bos]) + expected.ids
    assert ids.dtype == mask.dtype == np.int32 and not mask[:1].any()
    # The offsets of these makes hold a token's white space; none of them trims.
    for place, (first, last) in enumerate(expected.offsets, begin):
        if place and last > first:
            assert mask[place] == any(learnt[first:last]), (place, first, last)


@pytest.mark.parametrize("make", MAKES)
def test_special_tokens_that_a_person_types_are_text_and_spelled_ones_are_tokens(make):
    tokenizer, special = of_make(make)
    end = tokenizer.id_to_token(special.eos)
    typed = [("prompt", f"a{end}"), ("completion", f"film{end}")]

    (row,) = encoded(make, TASKS["sft"], typed)

    assert row.input_ids.tolist().count(special.eos) == 1
    assert row.input_ids[-1] == special.eos and row.loss_mask[-1] == 1
    ids, _ = span_ids([Span(end, True, False), Span("a", False, True)], of_make(make)[0], special)
    assert ids[0] == special.eos, "a text that begins with a template's own has all that it wants"


def test_a_chat_is_learnt_in_every_assistants_turn_its_end_included():
    tokenizer, _ = of_make("smollm2")
    turns = [("user", "It was"), ("assistant", "a film"), ("user", "No"), ("assistant", " great")]
    (row,) = encoded("smollm2", TASKS["chat"], turns)
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)

    assert row.input_ids.tolist() == tokenizer.encode(text).ids
    spans = np.split(row.input_ids, np.flatnonzero(np.diff(row.loss_mask)) + 1)
    learnt = [tokenizer.decode(ids.tolist(), skip_special_tokens=False) for ids in spans[1::2]]
    assert learnt == ["a film<|im_end|>\n", " great<|im_end|>\n"]


def test_without_a_mask_prompts_are_learnt_too_but_never_the_first_token():
    for form in ("sft", "chat"):
        turns = [("user", "It"), ("assistant", "was")]
        (row,) = encoded("smollm2", TextTask(form, form, EVERYTHING), turns)
        assert row.loss_mask.tolist() == [0] + [1] * (len(row.input_ids) - 1)


masks = st.lists(st.booleans(), min_size=1, max_size=120).map(lambda bits: [0, *map(int, bits)])


@steady
@given(mask=masks, room=st.integers(8, 40), begin=st.integers(0, 1))
def test_what_does_not_fit_is_cut_at_the_end_and_never_before_something_is_learnt(
    mask, room, begin
):
    mask = np.array([*mask, 1], np.int32)  # the end is learnt
    ids = np.arange(len(mask), dtype=np.int32)
    learnt = np.flatnonzero(mask)

    kept, kept_mask = cut(ids, mask, room, begin)

    assert len(kept) == min(len(ids), room) and kept[:begin].tolist() == ids[:begin].tolist()
    assert (kept_mask == mask[kept]).all() and (np.diff(kept) > 0).all()
    assert learnt[0] in kept[1:], "the first learnt token stays, with a token before it"
    if learnt[0] < room:
        assert kept.tolist() == ids[:room].tolist()
    else:
        assert (np.diff(kept[begin:]) == 1).all()
        beyond = learnt[0] + room - max(begin, 1)
        reachable = int((learnt < beyond).sum())
        assert kept_mask.sum() == min(room // 2, reachable) and kept_mask[-1]


def test_a_long_turn_behind_a_short_answer_takes_no_room_from_the_question():
    question, answer = ("user", "a film " * 20), ("assistant", "Yes")
    (alone,) = encoded("smollm2", TASKS["chat"], [question, answer], 24)
    assert alone.loss_mask.tolist() == [0] * 21 + [1] * 3
    assert alone.truncated and not alone.learnt_truncated
    for length in (10, 200, 5000):
        behind = [("user", "It was " * length), ("assistant", " No" * length)]
        (row,) = encoded("smollm2", TASKS["chat"], [question, answer, *behind], 24)
        assert row.input_ids.tolist() == alone.input_ids.tolist()
        assert row.loss_mask.tolist() == alone.loss_mask.tolist()
        assert row.truncated and row.learnt_truncated, "the second answer"


@steady
@given(count=st.integers(2, 300), room=st.integers(8, 40), begin=st.integers(0, 1))
def test_windows_learn_every_token_once_each_with_the_one_before_it(count, room, begin):
    ids = np.arange(count, dtype=np.int32)
    mask = np.ones(count, np.int32)
    mask[0] = 0

    pieces = list(windows(ids, mask, room, begin))

    learnt = np.concatenate([i[m == 1] for i, m in pieces])
    assert learnt.tolist() == list(range(1, count))
    for of_window, learnt_here in pieces:
        assert len(of_window) <= room and not learnt_here[0]
        assert of_window[:begin].tolist() == [0][:begin]
        for place in np.flatnonzero(learnt_here):
            assert of_window[place - 1] == of_window[place] - 1
    assert len(pieces) == 1 or min(len(i) for i, _ in pieces) > begin + 1


@steady
@given(lengths=st.lists(st.integers(2, 30), min_size=1, max_size=9), size=st.integers(1, 4))
def test_batches_hold_every_learnt_token_once_and_padding_is_not_learnt(lengths, size):
    from pocketllm.runtime.data.encoded import Encoded, EncodedExample

    examples = []
    for number, length in enumerate(lengths):
        ids = np.arange(length, dtype=np.int32) + 100 * (number + 1)
        mask = (ids % 3 == 1).astype(np.int32)
        mask[:1] = 0
        examples.append(EncodedExample((Encoded(ids, {}, False, mask),), ()))
    rows = [training_row(example, contract.TOKEN_LOSS) for example in examples]

    batches = micro_batches(rows, size, (8, 30), pad_id=1)

    seen = [b.inputs["input_ids"][b.inputs["loss_mask"] == 1] for b in batches]
    expected = [e.sequences[0].input_ids[e.sequences[0].loss_mask == 1] for e in examples]
    assert sorted(np.concatenate(seen)) == sorted(np.concatenate(expected))
    for batch in batches:
        mask, attended = batch.inputs["loss_mask"], batch.inputs["attention_mask"]
        assert mask.shape == batch.inputs["input_ids"].shape and mask.dtype == np.int32
        assert not (mask > attended).any() and not mask[len(batch.members) :].any()
        assert "label" not in batch.inputs


def test_a_long_text_becomes_windows_and_loses_nothing():
    tokenizer, special = of_make("gemma")
    text = "It was a film. " * 40
    rows = encoded("gemma", TASKS["lm"], [("text", text)], tokens=32)

    whole = [*tokenizer.encode(text, add_special_tokens=False).ids, special.eos]
    learnt = np.concatenate([row.input_ids[row.loss_mask == 1] for row in rows])
    assert learnt.tolist() == whole
    assert all(row.input_ids[0] == special.bos and not row.truncated for row in rows)


def test_rows_of_which_nothing_is_learnt_are_refused_by_line():
    with pytest.raises(InputError, match="f line 1: found 1 tokens of which none is learnt"):
        encoded("smollm2", TextTask("lm", "lm", EVERYTHING), [("text", "")])


def test_a_tokenizer_without_an_end_token_is_refused():
    tokenizer, special = of_make("smollm2")
    special = SpecialTokens(bos=None, eos=None, pad=special.pad, mask=None)
    row_format = RowFormat(TASKS["sft"], tokenizer, special, contract.TOKEN_LOSS, (), 32, 0)
    rows = [TextRow(({"role": "prompt", "content": "a"},), 1)]
    with pytest.raises(InputError, match="tokenizer: found no end token"):
        encode_all(rows, row_format, "f")


@pytest.mark.parametrize("make", MAKES)
def test_long_texts_are_tokenised_in_parts_to_the_same_tokens(make, monkeypatch):
    from pocketllm.runtime.data import encode_text, spans

    text = "It was a film, 77 of <|im_end|> them. Yes it's\n\n  é😀 great " * 12
    whole = encoded(make, TASKS["lm"], [("text", text)], tokens=64)
    monkeypatch.setattr(encode_text, "LONG_TEXT", 10)
    monkeypatch.setattr(spans, "PART", 70)

    parts = encoded(make, TASKS["lm"], [("text", text)], tokens=64)

    assert [row.input_ids.tolist() for row in parts] == [row.input_ids.tolist() for row in whole]
    assert [row.loss_mask.tolist() for row in parts] == [row.loss_mask.tolist() for row in whole]


@pytest.mark.parametrize("make", MAKES)
def test_of_rows_far_too_long_only_what_can_reach_the_row_is_tokenised(make, monkeypatch):
    from pocketllm.runtime.data import encode_text

    long, short = "It was a film, 77 of them. " * 400, "Yes great"
    cases = [(long, short), (short, long), (long, long), (short, "x" * 30000)]
    rows = [("prompt", "completion")] * len(cases)
    cut_early = [encoded(make, TASKS["sft"], zip(*row), tokens=16) for row in zip(rows, cases)]
    monkeypatch.setattr(encode_text, "LONG", 1 << 20)

    for early, row in zip(cut_early, zip(rows, cases)):
        (expected,) = encoded(make, TASKS["sft"], zip(*row), tokens=16)
        assert early[0].input_ids.tolist() == expected.input_ids.tolist()
        assert early[0].loss_mask.tolist() == expected.loss_mask.tolist()
        assert early[0].truncated and len(early[0].input_ids) == 16
        assert early[0].learnt_truncated == expected.learnt_truncated == (row[1][1] != short)
