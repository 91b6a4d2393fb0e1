"""A chat as one text: the pieces of its template, and the text that they make of messages.

The pieces are a table, so no template language is needed where a chat is rendered. The exporter
takes them from the checkpoint's own template, and compares what both write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
ROLES = (SYSTEM, USER, ASSISTANT)
# What may be cut from a side of a content; SPACE is white space as str.strip knows it.
NOTHING, NEWLINES, SPACE = "nothing", "newlines", "space"
CUTS = (NOTHING, NEWLINES, SPACE)


@dataclass(frozen=True)
class Turn:
    """What a template makes of the messages of a role.

    Attributes:
      prefix: before the content.
      suffix: behind it.
      left: what is cut from the beginning of the content, one of CUTS.
      right: likewise from its end.
      refused: words that the template does something with, so that no content may hold them.
    """

    prefix: str
    suffix: str
    left: str
    right: str
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Thinking:
    """What an answer's thoughts stand between.

    A content holds thoughts where it holds `suffix` without white space around it, the closing
    mark; they begin behind the opening mark, `prefix` without white space.

    Attributes:
      prefix: before the thoughts, of which there may be none.
      suffix: behind them, before the answer.
      every: whether it stands in every answer; else in the one that ends the chat, and the
        thoughts of the others are left out.
    """

    prefix: str
    suffix: str
    every: bool


@dataclass(frozen=True)
class ChatPieces:
    """The pieces of a chat template.

    Attributes:
      start: before everything.
      without_system: instead of a system message, where there is none.
      system: of a system message; None where the template takes none.
      system_in_user: whether a system message stands at the beginning of the first user's content,
        not in a turn of its own.
      drops_empty_system: whether one without content counts as none.
      user: of a user's message.
      assistant: of an assistant's message.
      lead: behind the assistant's prefix; learnt, which a prefix is not. Mostly empty.
      tail: behind the assistant's suffix; not learnt, which a suffix is. Mostly empty.
      thinking: of models that think before they answer; else None.
      generation: at the end of a chat that the model is to answer.
      end: at the end of any other chat.
    """

    start: str
    without_system: str
    system: Turn | None
    system_in_user: bool
    drops_empty_system: bool
    user: Turn
    assistant: Turn
    lead: str
    tail: str
    thinking: Thinking | None
    generation: str
    end: str


@dataclass(frozen=True)
class Span:
    """A part of a text.

    Attributes:
      text: of the part.
      spelled: whether it is the template's own, so that what spells a special token is one. In
        what a person wrote it is text.
      learnt: whether its tokens are learnt.
    """

    text: str
    spelled: bool
    learnt: bool


def render(
    pieces: ChatPieces, messages: Sequence[Mapping[str, str]], generation_prompt: bool
) -> tuple[Span, ...]:
    """Renders a chat.

    Args:
      pieces: of the bundle's template.
      messages: objects of a `role` and its `content`, in an order that `order_problem` allows.
      generation_prompt: whether the text ends where the assistant's next message begins.

    Returns:
      The spans, none of them empty. Their texts joined are transformers' `apply_chat_template`; an
      assistant's content and what ends it is learnt.

    Raises:
      InputError: a message that the template takes no, or that holds a word of the template's.
    """
    _check_words(pieces, messages)
    turns = list(messages)
    spans, lead = [_spelled(pieces.start)], ()
    system = _system(pieces, turns.pop(0)["content"]) if turns[0]["role"] == SYSTEM else ()
    if not system:
        spans.append(_spelled(pieces.without_system))
    elif pieces.system_in_user:
        lead = system
    else:
        spans += system
    for index, message in enumerate(turns):
        if message["role"] == USER:
            prefix, *others = _framed(pieces.user, message["content"], learnt=False)
            spans += [prefix, *lead, *others]
            lead = ()
        else:
            spans += _answer(pieces, message["content"], index == len(turns) - 1)
    if generation_prompt:
        spans.append(_spelled(pieces.generation))
    else:
        spans.append(Span(pieces.end, spelled=True, learnt=turns[-1]["role"] == ASSISTANT))
    return tuple(span for span in spans if span.text)


def order_problem(roles: Sequence[str]) -> str | None:
    """Returns why roles in this order are no chat; None where they are one.

    A chat is a system message or none, then messages of a user and of the assistant in turn.
    """
    if not roles:
        return "no messages, expected at least one"
    first = 1 if roles[0] == SYSTEM else 0
    for index, role in enumerate(roles[first:]):
        expected = (USER, ASSISTANT)[index % 2]
        if role != expected:
            return f"message {first + index + 1} has the role {role!r}, expected {expected!r}"
    return "a system message alone, expected a user's behind it" if len(roles) == first else None


def _check_words(pieces, messages):
    turns = {SYSTEM: pieces.system, USER: pieces.user, ASSISTANT: pieces.assistant}
    for number, message in enumerate(messages, 1):
        turn = turns[message["role"]]
        if turn is None:
            raise InputError(
                f"message {number} is a {SYSTEM} message, and this model's chat template takes "
                "none; put its text into the user's first message"
            )
        for word in turn.refused:
            if word in message["content"]:
                raise InputError(
                    f"message {number} holds {word!r}, which this model's chat template does not "
                    "write as it stands; leave it out"
                )


def _system(pieces, content):
    """Returns the spans of a system message; none where it counts as none."""
    spans = _framed(pieces.system, content, learnt=False)
    return () if pieces.drops_empty_system and not spans[1].text else spans


def _answer(pieces, content, is_last):
    """Returns the spans of an assistant's message."""
    prefix, text, suffix = _framed(pieces.assistant, content, learnt=True)
    spans = [prefix, Span(pieces.lead, spelled=True, learnt=True)]
    thinking = pieces.thinking
    if thinking:
        opening, closing = thinking.prefix.strip(), thinking.suffix.strip()
        first, *others = text.text.split(closing)
        thoughts, answer = "", text.text
        if others:
            thoughts = first.rstrip("\n").rpartition(opening)[2].strip("\n")
            answer = others[-1].lstrip("\n")
        if thinking.every or is_last:
            answer = answer.lstrip("\n")
            spans += [
                Span(thinking.prefix, spelled=True, learnt=True),
                Span(thoughts, spelled=False, learnt=True),
                Span(thinking.suffix, spelled=True, learnt=True),
            ]
        text = Span(answer, spelled=False, learnt=True)
    return [*spans, text, suffix, _spelled(pieces.tail)]


def _framed(turn, content, learnt):
    """Returns the spans of a message: its prefix, its content, its suffix."""
    characters = {NOTHING: "", NEWLINES: "\n", SPACE: None}
    content = content.lstrip(characters[turn.left]).rstrip(characters[turn.right])
    return [
        _spelled(turn.prefix),
        Span(content, spelled=False, learnt=learnt),
        Span(turn.suffix, spelled=True, learnt=learnt),
    ]


def _spelled(text):
    return Span(text, spelled=True, learnt=False)
