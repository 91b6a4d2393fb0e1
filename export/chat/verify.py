"""Pieces of a chat template against the template itself, over a fixed grid of chats."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.generate.prefill import alike
from pocketllm.runtime.tasks.chat import ASSISTANT, SYSTEM, USER, ChatPieces, render

from .pieces import message
from .template import ChatTemplate, Messages
from .words import words_of

MOST_TURNS = 5
SYSTEMS = (None, "Answer briefly.", "  In \n verse. \n", "", " \n")
CONTENTS = (
    "How are you?",
    "  with spaces  ",
    "two\nlines\n\n",
    "",
    "{braces} {{ x }} {% y %} {# z #}",
    "\n\n newlines first",
    "\t\u00a0of other\u2003kinds\x1c\u3000",
    "<b>&amp; 'quotes' \"too\" \\n",
)
SHOWN = 40  # characters before and behind the first that differs


def verify(pieces: ChatPieces, template: ChatTemplate) -> ChatPieces:
    """Compares what pieces and their template write.

    Returns:
      The pieces, with the words that the template does something with.

    Raises:
      InputError: they differ; the message is one line.
    """
    for messages, generation_prompt in grid(pieces.system is not None):
        difference = _difference(pieces, template, messages, generation_prompt)
        if difference:
            raise InputError(difference)
    return _with_refused(pieces, template)


def grid(with_system: bool = True) -> Iterator[tuple[Messages, bool]]:
    """Yields (messages, whether they are to be answered)."""
    systems = SYSTEMS if with_system else (None,)
    for system, turns in product(systems, range(1, MOST_TURNS + 1)):
        first = [] if system is None else [message(SYSTEM, system)]
        for step, shift in product((0, 1), range(len(CONTENTS))):
            contents = (CONTENTS[(shift + step * turn) % len(CONTENTS)] for turn in range(turns))
            roles = (USER, ASSISTANT) * MOST_TURNS
            messages = first + [message(*pair) for pair in zip(roles, contents)]
            yield messages, False
            yield messages, True


def _difference(pieces, template, messages, generation_prompt):
    """Returns what differs, as one line; None where nothing does."""
    text = "".join(span.text for span in render(pieces, messages, generation_prompt))
    roles = ", ".join(m["role"] for m in messages)
    try:
        expected = template.render(messages, generation_prompt)
    except InputError as error:
        return f"it refuses a chat of {roles}: {error}"
    if text == expected:
        return None
    place = alike(text, expected)
    shown = slice(max(0, place - SHOWN), place + SHOWN)
    contents = ", ".join(repr(m["content"]) for m in messages)
    return f"of {contents} ({roles}) it makes …{expected[shown]!r}…, a table …{text[shown]!r}…"


def _with_refused(pieces: ChatPieces, template: ChatTemplate) -> ChatPieces:
    """Returns the pieces with the words that the template does something with, by role."""
    words = words_of(template.text)
    if pieces.thinking:
        marks = pieces.thinking.prefix.strip(), pieces.thinking.suffix.strip()
        words = tuple(dict.fromkeys((*words, *marks)))

    def refused(role):
        return tuple(word for word in words if _is_changed(pieces, template, role, word))

    return replace(
        pieces,
        system=pieces.system and replace(pieces.system, refused=refused(SYSTEM)),
        user=replace(pieces.user, refused=refused(USER)),
        assistant=replace(pieces.assistant, refused=refused(ASSISTANT)),
    )


def _is_changed(pieces, template, role, word):
    """Returns whether a template treats a content of a role with this word otherwise."""
    contents = (word, f"a {word} b", f"{word}\n\nc\n{word} d", f"{word}e{word}\n")
    return any(
        _difference(pieces, template, messages, generation_prompt)
        for content in contents
        for messages in _chats_with(pieces, role, content)
        for generation_prompt in (False, True)
    )


def _chats_with(pieces: ChatPieces, role: str, content: str) -> Sequence[Messages]:
    """Returns chats with this content where a message of the role may stand."""
    usual = [message(r, "f") for r in (USER, ASSISTANT, USER, ASSISTANT)]
    if role == SYSTEM:
        return [[message(SYSTEM, content), *usual]]
    places = [index for index, m in enumerate(usual) if m["role"] == role]
    system = [] if pieces.system is None else [message(SYSTEM, "g")]
    changed = [
        [*usual[:index], message(role, content), *usual[index + 1 :]][:turns]
        for index in places
        for turns in range(index + 1, len(usual) + 1)
    ]
    return [first + chat for chat in changed for first in ([], system)]
