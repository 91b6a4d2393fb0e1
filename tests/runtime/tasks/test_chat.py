"""Chats from a table of pieces: what is written, what is learnt, and tables that cannot be used."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.chat import (
    CUTS,
    ChatPieces,
    Span,
    Thinking,
    Turn,
    order_problem,
    render,
)
from pocketllm.runtime.tasks.chat_codec import pieces_from_json, pieces_to_json

ROLES = ("user", "assistant")
PIECES = ChatPieces(
    start="<s>",
    without_system="[no one]",
    system=Turn("[system]", "[/system]", "nothing", "space", ()),
    system_in_user=False,
    drops_empty_system=False,
    user=Turn("[user]", "[/user]", "newlines", "nothing", ("@@",)),
    assistant=Turn("[model]", "[/model]", "nothing", "nothing", ()),
    lead="",
    tail="",
    thinking=None,
    generation="[model]",
    end="",
)
TEXTS = st.text(st.sampled_from("ab \n\t<>/"), max_size=8)


def chat(*contents, system=None):
    messages = [{"role": ROLES[i % 2], "content": text} for i, text in enumerate(contents)]
    return messages if system is None else [{"role": "system", "content": system}, *messages]


def text_of(pieces, messages, generation_prompt=False):
    return "".join(span.text for span in render(pieces, messages, generation_prompt))


def test_each_span_says_whose_it_is_and_whether_it_is_learnt():
    assert render(PIECES, chat("\n Hi", "Yes", system="Short \n"), False) == (
        Span("<s>", True, False),
        Span("[system]", True, False), Span("Short", False, False), Span("[/system]", True, False),
        Span("[user]", True, False), Span(" Hi", False, False), Span("[/user]", True, False),
        Span("[model]", True, False), Span("Yes", False, True), Span("[/model]", True, True),
    )  # fmt: skip


def test_a_chat_to_be_answered_ends_with_the_beginning_of_an_answer():
    assert text_of(PIECES, chat("Hi"), True) == "<s>[no one][user]Hi[/user][model]"
    ended = replace(PIECES, end="<end>")
    assert text_of(ended, chat("Hi")).endswith("[/user]<end>")
    assert render(ended, chat("Hi"), False)[-1] == Span("<end>", True, False)
    assert render(ended, chat("Hi", "Yes"), False)[-1] == Span("<end>", True, True)


def test_a_system_message_stands_in_the_first_users_where_the_template_says_so():
    inside = replace(PIECES, system_in_user=True)

    text = text_of(inside, chat("Hi", "Yes", "And?", system="Short"))

    first = "<s>[user][system]Short[/system]Hi[/user][model]Yes[/model]"
    assert text == f"{first}[user]And?[/user]"


def test_an_empty_system_message_counts_as_none_where_the_template_says_so():
    dropping = replace(PIECES, drops_empty_system=True)

    assert text_of(dropping, chat("Hi", system="\n ")) == text_of(PIECES, chat("Hi"))
    assert "[system][/system]" in text_of(PIECES, chat("Hi", system="\n "))


def test_the_ends_of_a_header_and_of_a_suffix_are_learnt_or_not_as_the_template_says():
    marked = replace(PIECES, lead="\n", tail="\t")

    *_, header, lead, answer, suffix, tail = render(marked, chat("Hi", "Yes"), False)

    assert [s.learnt for s in (header, lead, answer, suffix)] == [False, True, True, True]
    assert not tail.learnt
    assert (lead.text, tail.text) == ("\n", "\t")


THOUGHTS = {
    "none": ("\nYes", "<t>", "", "</t>\n", "Yes", "\nYes"),
    "some": ("<t>\nHm.\n</t>\n\nYes", "<t>", "Hm.", "</t>\n", "Yes", "Yes"),
    "no opening mark": ("Hm.</t>Yes", "<t>", "Hm.", "</t>\n", "Yes", "Yes"),
    "two": ("a<t>b</t>c</t>\nd", "<t>", "b", "</t>\n", "d", "d"),
    "not closed": ("<t>Hm.", "<t>", "", "</t>\n", "<t>Hm.", "<t>Hm."),
}


@pytest.mark.parametrize("name", THOUGHTS)
def test_thoughts_stand_in_the_last_answer_or_in_every_one(name):
    content, *last, before = THOUGHTS[name]
    messages = chat("Hi", content, "And?", content)
    whole = "".join(last)
    for every in (False, True):
        pieces = replace(PIECES, thinking=Thinking("<t>", "</t>\n", every))
        answers = text_of(pieces, messages).split("[model]")[1:]
        first = whole if every else before
        assert answers == [f"{first}[/model][user]And?[/user]", f"{whole}[/model]"]


@given(st.lists(TEXTS, min_size=1, max_size=6), st.none() | TEXTS, st.booleans())
def test_just_the_answers_and_what_ends_them_are_learnt_and_contents_spell_nothing(
    contents, system, generation_prompt
):
    spans = render(PIECES, chat(*contents, system=system), generation_prompt)

    learnt = [span for span in spans if span.learnt]
    answers = contents[1::2]
    assert "".join(s.text for s in learnt) == "".join(f"{answer}[/model]" for answer in answers)
    assert sum(s.spelled for s in learnt) == len(answers)
    cut = [c.lstrip("\n") if i % 2 == 0 else c for i, c in enumerate(contents)]
    typed = ([] if system is None else [system.rstrip()]) + cut
    assert [s.text for s in spans if not s.spelled] == [text for text in typed if text]
    assert all(span.text for span in spans)


def test_a_word_of_the_templates_and_a_system_message_too_many_are_refused():
    with pytest.raises(InputError, match="message 3 holds '@@', which this model's chat template"):
        render(PIECES, chat("a", "@@", "b @@"), False)
    with pytest.raises(InputError, match="message 1 is a system message, .* takes none"):
        render(replace(PIECES, system=None), chat("a", system="b"), False)


ORDERS = {
    "": "no messages, expected at least one",
    "s": "a system message alone, expected a user's behind it",
    "a": "message 1 has the role 'assistant', expected 'user'",
    "sua": None, "u": None, "uau": None,
    "uaa": "message 3 has the role 'assistant', expected 'user'",
    "suu": "message 3 has the role 'user', expected 'assistant'",
    "uas": "message 3 has the role 'system', expected 'user'",
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
def test_roles_are_a_system_or_none_then_user_and_assistant_in_turn(order):
    names = {"s": "system", "u": "user", "a": "assistant"}

    assert order_problem([names[letter] for letter in order]) == ORDERS[order]


TURNS = st.builds(Turn, TEXTS, TEXTS, st.sampled_from(CUTS), st.sampled_from(CUTS), st.just(("x",)))


@given(
    st.builds(
        ChatPieces, TEXTS, TEXTS, TURNS, st.booleans(), st.booleans(), TURNS,
        TURNS.filter(lambda turn: turn.suffix), TEXTS, TEXTS,
        st.none() | st.builds(Thinking, st.just("<t>"), st.just("</t>"), st.booleans()),
        TEXTS, TEXTS,
    )
)  # fmt: skip
def test_pieces_go_to_json_and_back(pieces):
    assert pieces_from_json(pieces_to_json(pieces)) == pieces


def test_a_bundle_without_pieces_has_none():
    assert pieces_from_json(None) is None and pieces_to_json(None) is None


def changed(path, value):
    entry = pieces_to_json(PIECES)
    *keys, last = path.split(".")
    inner = entry
    for key in keys:
        inner = inner[key]
    inner[last] = value
    return entry


FAULTS = {
    "no object": ([], "chat is []"),
    "another type": (changed("start", 3), "chat.start is 3, expected str"),
    "a key too many": (changed("more", ""), "expected object"),
    "an unknown cut": (
        changed("user.left", "all"),
        "user.left is 'all', expected nothing, ",
    ),
    "an empty word": (changed("user.refused", [""]), "user.refused holds an empty word"),
    "no end": (changed("assistant.suffix", ""), "assistant.suffix is empty"),
    "no system": (
        changed("system", None) | {"system_in_user": True},
        "a place for system messages, and system is null",
    ),
    "no marks": (
        changed("thinking", {"prefix": "\n", "suffix": "b", "every": True}),
        "thinking without marks",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_pieces_that_cannot_be_used_are_refused_in_one_line(name):
    entry, expected = FAULTS[name]

    with pytest.raises(InputError) as refused:
        pieces_from_json(entry)

    line = str(refused.value)
    assert expected in line and line.startswith("bundle.json: ") and "\n" not in line
    assert line.endswith("; export the bundle again")
