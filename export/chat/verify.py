"""Pieces of a chat template against the template itself, over a fixed grid of chats."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, product

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.generate.prefill import alike
from pocketllm.runtime.tasks.chat import ASSISTANT, SYSTEM, USER, ChatPieces, render

from .pieces import message
from .template import GENERATION, ChatTemplate, Messages
from .words import edge_words_of, words_of

MOST_TURNS, MANY_TURNS = 5, 12
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
    "LOUD",
    "42",
    "a long text " * 200,
)
SHOWN = 40  # characters before and behind the first that differs
MOST_SHOWN = 200  # characters of a chat


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
    if GENERATION.search(template.text):
        for messages, _ in islice(grid(pieces.system is not None), 0, None, 6):
            _check_learnt(pieces, template, messages)
    return _with_refused(pieces, template)


def grid(with_system: bool = True) -> Iterator[tuple[Messages, bool]]:
    """Yields (messages, whether they are to be answered)."""
    systems = SYSTEMS if with_system else (None,)
    for system, turns in product(systems, range(1, MOST_TURNS + 1)):
        for step, shift in product((0, 1), range(len(CONTENTS))):
            yield from _chats(system, turns, step, shift)
    for system in systems:
        yield from _chats(system, MANY_TURNS, 1, 0)


def _chats(system, turns, step, shift):
    """Yields a chat of these turns, to be answered and not."""
    contents = [CONTENTS[(shift + step * turn) % len(CONTENTS)] for turn in range(turns)]
    pairs = zip((USER, ASSISTANT) * turns, contents)
    messages = [message(*pair) for pair in pairs]
    if system is not None:
        messages.insert(0, message(SYSTEM, system))
    yield messages, False
    yield messages, True


def _difference(pieces, template, messages, generation_prompt):
    """Returns what differs, as one line; None where nothing does."""
    text = "".join(span.text for span in render(pieces, messages, generation_prompt))
    roles = _shortened(", ".join(m["role"] for m in messages))
    try:
        expected = template.render(messages, generation_prompt)
    except InputError as error:
        return f"it refuses a chat of {roles}: {error}"
    if text == expected:
        return None
    place = alike(text, expected)
    shown = slice(max(0, place - SHOWN), place + SHOWN)
    contents = _shortened(", ".join(repr(m["content"]) for m in messages))
    return f"of {contents} ({roles}) it makes …{expected[shown]!r}…, a table …{text[shown]!r}…"


def _check_learnt(pieces, template, messages):
    """Checks that what is learnt of a chat is what the template marks, and ends of answers."""
    marked, ends, place = set(), set(), 0
    for first, last in template.learnt_parts(messages):
        marked |= set(range(first, last))
        ends |= set(range(last, last + len(pieces.assistant.suffix + pieces.end)))
    for span in render(pieces, messages, False):
        here = set(range(place, place + len(span.text)))
        wrong = here - marked - ends if span.learnt else here & marked
        if wrong:
            does, other = (
                ("does not mark", "learns") if span.learnt else ("marks", "does not learn")
            )
            raise InputError(
                f"it {does} {_shortened(repr(span.text))} as an answer ({{% generation %}}), "
                f"which a table {other}"
            )
        place += len(span.text)


def _shortened(text):
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def _with_refused(pieces: ChatPieces, template: ChatTemplate) -> ChatPieces:
    """Returns the pieces with the words that the template does something with, by role."""
    words = words_of(template.text)
    if pieces.thinking:
        marks = pieces.thinking.prefix.strip(), pieces.thinking.suffix.strip()
        words = tuple(dict.fromkeys((*words, *marks)))
    turns = {SYSTEM: pieces.system, USER: pieces.user, ASSISTANT: pieces.assistant}
    turns = {
        role: replace(turn, refused=_refused(pieces, template, role, words))
        for role, turn in turns.items()
        if turn is not None
    }
    _check_together(pieces, template, words, turns)
    return replace(pieces, system=turns.get(SYSTEM), user=turns[USER], assistant=turns[ASSISTANT])


def _refused(pieces, template, role, words):
    """Returns the words of which a template treats a content of a role otherwise."""

    def changes(*contents):
        return any(
            _difference(pieces, template, messages, generation_prompt)
            for content in contents
            for messages in _chats_with(pieces, role, content)
            for generation_prompt in (False, True)
        )

    refused = [w for w in words if changes(w, f"a {w} b", f"{w}\n\nc\n{w} d", f"{w}e{w}\n")]
    # Words that count together: one at each end, or all in one content.
    edges = [word for word in edge_words_of(template.text) if word not in refused]
    refused += [word for word in edges if changes(*(f"{word}h{other}" for other in edges))]
    rest = [word for word in words if word not in refused]
    while changes(*_together(rest)):
        sizes = range(1, len(rest) + 1)
        size = next(size for size in sizes if changes(*_together(rest[:size])))
        refused.append(rest.pop(size - 1))
    return tuple(refused)


def _together(words):
    """Returns contents of all words, several times."""
    return " ".join([*words] * 5), " ".join([*words][::-1] * 5)


def _check_together(pieces, template, words, turns):
    """Checks chats whose every message has all the words that it may have, in capitals too."""
    contents = {role: [w for w in words if w not in turns[role].refused] for role in turns}
    for spelled, order in product((str, str.upper, str.lower), (0, 1)):
        texts = {role: spelled(_together(rest)[order]) for role, rest in contents.items()}
        roles = (*(role for role in (SYSTEM,) if role in texts), *(USER, ASSISTANT) * 2)
        difference = _difference(pieces, template, [message(r, texts[r]) for r in roles], False)
        if difference:
            raise InputError(difference)


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
