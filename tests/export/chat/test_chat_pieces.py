"""The pieces of a chat template against transformers' own rendering of it."""

from dataclasses import replace

import pytest
from chat_templates import CASES, EXAMPLE, GEMMA3, QWEN3, SMOLLM2
from hypothesis import given, settings
from hypothesis import strategies as st
from todays_tokenizers import MAKES

from pocketllm.export.chat import choose
from pocketllm.export.chat.choose import chat_pieces
from pocketllm.export.chat.template import ChatTemplate
from pocketllm.export.chat.verify import grid
from pocketllm.export.checkpoint.tokenizer import NO_TOKENS
from pocketllm.export.checkpoint.transformers_tokenizer import SourceTokenizer
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.chat import Thinking, Turn, render
from pocketllm.runtime.tasks.chat_codec import pieces_from_json, pieces_to_json

pytestmark = pytest.mark.desktop

ROLES = ("user", "assistant")


def pieces_of(case, text=None, needed=True):
    """Returns (pieces of a case's template, what was said)."""
    lines = []
    tokenizer = MAKES[case.make][1]()[0]
    source = SourceTokenizer(tokenizer, {}, (), text or case.text, case.tokens)
    return chat_pieces(source, NO_TOKENS, needed=needed, say=lines.append), lines


def text_of(pieces, messages, generation_prompt=False):
    return "".join(span.text for span in render(pieces, messages, generation_prompt))


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def pieces(case):
    return pieces_of(case)[0]


def test_an_example_is_written_as_the_models_authors_show_it(case, pieces):
    assert text_of(pieces, EXAMPLE) == case.example


def test_every_chat_of_the_grid_is_what_transformers_writes(case, pieces):
    from transformers.utils.chat_template_utils import render_jinja_template

    dated = "strftime_now" in case.text
    template = ChatTemplate(case.text, case.tokens)
    for messages, generation_prompt in grid(pieces.system is not None):
        text = text_of(pieces, messages, generation_prompt)
        if dated:  # transformers writes today's
            assert text == template.render(messages, generation_prompt)
            continue
        theirs, _ = render_jinja_template(
            [messages], chat_template=case.text, add_generation_prompt=generation_prompt,
            **case.tokens,
        )  # fmt: skip
        assert text == theirs[0]


CONTENTS = st.text(st.sampled_from("ab \n\t{}<|>/\u00a0é"), max_size=12)


@settings(max_examples=40, deadline=None)
@given(
    system=st.none() | CONTENTS,
    contents=st.lists(CONTENTS, min_size=1, max_size=6),
    generation_prompt=st.booleans(),
)
def test_any_chat_is_what_the_template_writes(case, pieces, system, contents, generation_prompt):
    messages = [{"role": ROLES[i % 2], "content": text} for i, text in enumerate(contents)]
    if system is not None and pieces.system is not None:
        messages.insert(0, {"role": "system", "content": system})
    template = ChatTemplate(case.text, case.tokens)

    expected = template.render(messages, generation_prompt)
    assert text_of(pieces, messages, generation_prompt) == expected


def test_pieces_go_through_json(pieces):
    assert pieces_from_json(pieces_to_json(pieces)) == pieces


def test_pieces_of_chatml_stand_where_a_reader_looks_for_them():
    pieces, _ = pieces_of(SMOLLM2)

    usual = {"left": "nothing", "right": "nothing", "refused": ()}
    assert pieces.start == "" and pieces.generation == "<|im_start|>assistant\n"
    assert pieces.without_system == "<|im_start|>system\nYou are terse.<|im_end|>\n"
    assert pieces.system == Turn("<|im_start|>system\n", "<|im_end|>\n", **usual)
    assert pieces.user == Turn("<|im_start|>user\n", "<|im_end|>\n", **usual)
    assert pieces.assistant == Turn("<|im_start|>assistant\n", "<|im_end|>\n", **usual)
    assert (pieces.lead, pieces.tail, pieces.end, pieces.thinking) == ("", "", "", None)


def test_gemmas_system_message_stands_in_the_users():
    pieces, _ = pieces_of(GEMMA3)

    assert pieces.start == "<bos>" and pieces.system_in_user
    assert pieces.system == Turn("", "\n\n", "nothing", "nothing", ())
    assert pieces.user == Turn("<start_of_turn>user\n", "<end_of_turn>\n", "space", "space", ())


def test_thoughts_of_the_last_answer_are_kept_those_of_others_left_out():
    pieces, _ = pieces_of(QWEN3)
    thoughtful = "<think>\n\nIs it?\n</think>\n\n\nYes."
    messages = [{"role": ROLES[i % 2], "content": thoughtful} for i in range(4)]

    assert pieces.thinking == Thinking("<think>\n", "\n</think>\n\n", every=False)
    text = ChatTemplate(QWEN3.text, QWEN3.tokens).render(messages, False)
    assert text_of(pieces, messages) == text
    assert "assistant\nYes.<|im_end|>" in text
    assert text.endswith("<think>\nIs it?\n</think>\n\nYes.<|im_end|>\n")
    # What a person is asked to answer ends with the bare prefix: the model may think.
    assert text_of(pieces, messages[:1], True).endswith("<|im_start|>assistant\n")


def test_a_word_that_switches_the_template_is_refused_in_a_content():
    pieces, lines = pieces_of(CASES["SmolLM3"])
    system = {"role": "system", "content": "Be brief. /no_think"}

    assert set(pieces.system.refused) == {"/no_think", "/think"} and pieces.drops_empty_system
    assert lines == [
        "chat: the template writes today's date; a bundle writes the same one every day"
    ]
    with pytest.raises(InputError, match="message 1 holds '/no_think', which this model's chat"):
        render(pieces, [system, *EXAMPLE], False)


SWITCHES = {
    "both ends": ("c.startswith('<t>') and c.endswith('</t>')", "<t>a</t>", "<t>"),
    "three together": ("'<a>' in c and '<b>' in c and '<c>' in c", "<c> <a> <b>", "<c>"),
    "a slice": ("c[:7] == '<think>'", "<think>", "<think>"),
    "all of it": ("c in ['ping', 'quit']", "quit", "quit"),
    "words in a list": ("['<s>', '<q>'] | select('in', c) | list", "a <q> c", "<q>"),
    "how often": ("c.count('#') > 3", "# # # #", "#"),
    "line ends": ("c != c.replace('\\r\\n', '\\n')", "a\r\nb", "\r\n"),
}


def switched(condition):
    """A template that writes a sign behind contents of which a condition is true."""
    text = "{% set c = m.content %}{{ c }}{% if " + condition + " %}!{% endif %}"
    return SMOLLM2.text.replace("{{ m.content }}", text)


@pytest.mark.parametrize("name", SWITCHES)
def test_a_content_that_a_template_looks_at_is_refused_however_it_looks(name):
    condition, content, word = SWITCHES[name]
    pieces, _ = pieces_of(SMOLLM2, switched(condition))

    assert word in pieces.assistant.refused
    with pytest.raises(InputError, match="does not write as it stands|which this model's chat"):
        render(pieces, [EXAMPLE[0], {"role": "assistant", "content": content}], False)


def test_a_character_that_a_template_takes_away_is_refused():
    text = SMOLLM2.text.replace("{{ m.content }}", "{{ m.content.rstrip('\\n\\r') }}")
    pieces, _ = pieces_of(SMOLLM2, text)

    assert pieces.assistant.right == "newlines" and "\r" in pieces.assistant.refused


def test_a_system_message_that_a_template_takes_none_of_is_refused():
    pieces, _ = pieces_of(CASES["Gemma 2"])

    with pytest.raises(InputError, match="message 1 is a system message, and this model's chat"):
        render(pieces, [{"role": "system", "content": "a"}, *EXAMPLE], False)


REFUSED = {
    "no user": ("{{ raise_exception('tools only') }}", "tools only"),
    "contents changed": (
        SMOLLM2.text.replace("{{ m.content }}", "{{ m.content | upper }}"),
        "it writes '<|im_start|>system",
    ),
    "a turn counted": (
        "{% for m in messages %}[{{ loop.index }}] {{ m.content }}<|im_end|>{% endfor %}",
        "it writes '",
    ),
    "only short contents": (
        SMOLLM2.text.replace("{{ m.content }}", "{{ m.content | replace('Ho', '') }}"),
        "it makes …'",
    ),
    "long contents cut": (
        SMOLLM2.text.replace("{{ m.content }}", "{{ m.content | truncate(255) }}"),
        "it makes …'",
    ),
    "many turns": (
        SMOLLM2.text.replace("{{ m.content }}", "{{ m.content if loop.index < 9 else '' }}"),
        "it makes …'",
    ),
    "words of two messages": (
        SMOLLM2.text.replace(
            "{{ m.content }}",
            "{{ m.content }}{{ '!' if '/a' in messages[0].content and '/b' in messages[-1].content"
            " }}",
        ),
        "it makes …'",
    ),
    "what ends no answer": (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
        "expected a special token of this tokenizer",
    ),
    "endless recursion": ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "recursion"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_template_that_is_no_table_is_refused_in_one_line_with_what_differs(name):
    text, expected = REFUSED[name]

    with pytest.raises(InputError) as refused:
        pieces_of(SMOLLM2, text)

    line = str(refused.value)
    assert expected in line and "\n" not in line and len(line) < 700
    assert line.startswith("the chat template cannot be written as a table of pieces: ")
    assert line.endswith("; give another with --chat_template=FILE")
    pieces, lines = pieces_of(SMOLLM2, text, needed=False)
    assert pieces is None and lines == [f"chat: null in bundle.json, {line}"]


MARKED = "{% generation %}{{ m.content + '<|im_end|>\n' }}{% endgeneration %}"
HALVES = (
    "{% generation %}{{ m.content[:3] }}{% endgeneration %}"
    "{% generation %}{{ m.content[3:] + '<|im_end|>\n' }}{% endgeneration %}"
)


def marked(answer):
    """ChatML's template with this for an answer."""
    return (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role != 'assistant' %}"
        "{{ m.content + '<|im_end|>\n' }}{% else %}" + answer + "{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )


def test_parts_that_a_template_marks_side_by_side_are_one():
    assert pieces_of(SMOLLM2, marked(HALVES)) == pieces_of(SMOLLM2, marked(MARKED))


@pytest.mark.parametrize("condition", ["loop.last", "loop.index < 3", "m.content == 'no'"])
def test_a_template_that_marks_some_answers_alone_is_refused(condition):
    plain = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    answer = "{% if " + condition + " %}" + MARKED + "{% else %}" + plain + "{% endif %}"
    with pytest.raises(InputError, match="it does not mark '.*, which a table learns"):
        pieces_of(SMOLLM2, marked(answer))


def test_a_template_that_never_ends_is_ended(monkeypatch):
    monkeypatch.setattr(choose, "MOST_SECONDS", 0.5)
    loops = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"

    with pytest.raises(InputError, match="it runs for more than 0.5 s"):
        pieces_of(SMOLLM2, loops + SMOLLM2.text)


def test_the_default_of_several_templates_is_taken_and_a_missing_one_is_refused():
    case = SMOLLM2
    several = {"tool_use": "{{ tools }}", "default": case.text}
    pieces, _ = pieces_of(replace(case, text=several))

    assert pieces == pieces_of(case)[0]
    with pytest.raises(InputError, match="chat templates rag, none of them is 'default'"):
        pieces_of(replace(case, text={"rag": case.text}))


def test_without_a_template_chats_are_refused_and_others_have_none():
    case = replace(SMOLLM2, text=None)

    with pytest.raises(InputError, match="no chat template among the tokenizer's files, which"):
        pieces_of(case)
    assert pieces_of(case, needed=False) == (None, [])
