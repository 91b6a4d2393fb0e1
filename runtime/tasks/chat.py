"""A chat as one text: the pieces of its template, and the text that they make of messages.

The pieces are a table, so no template language is needed where a chat is rendered. The exporter
takes them from the checkpoint's own template, and has compared both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from ..errors import InputError
from ..host.typed_json import MistypedError, typed

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
ROLES = (SYSTEM, USER, ASSISTANT)


@dataclass(frozen=True)
class Turn:
    """What stands around the content of a role's messages.

    Attributes:
      prefix: before the content.
      suffix: behind it.
      trim: whether white space around the content is left out, as by str.strip.
    """

    prefix: str
    suffix: str
    trim: bool


@dataclass(frozen=True)
class ChatPieces:
    """The pieces of a chat template.

    Attributes:
      start: before everything.
      without_system: instead of a system message, where there is none.
      system: of a system message; None where the template takes none.
      system_in_user: whether a system message stands at the beginning of the first user's content,
        not in a turn of its own.
      user: of a user's message.
      assistant: of an assistant's message.
      last_answer: before the content of an assistant's message that ends the chat; newlines at the
        beginning of that content are left out where this is not empty.
      generation: at the end of a chat that the model is to answer.
      end: at the end of any other chat.
    """

    start: str
    without_system: str
    system: Turn | None
    system_in_user: bool
    user: Turn
    assistant: Turn
    last_answer: str
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
      InputError: a system message, and a template that takes none.
    """
    turns = list(messages)
    spans = [_spelled(pieces.start)]
    lead: list[Span] = []
    if turns and turns[0]["role"] == SYSTEM:
        content = turns.pop(0)["content"]
        if pieces.system is None:
            raise InputError("a system message, and this model's chat template takes none")
        framed = _framed(pieces.system, content, learnt=False)
        if pieces.system_in_user:
            lead = framed
        else:
            spans += framed
    else:
        spans.append(_spelled(pieces.without_system))
    for index, message in enumerate(turns):
        if message["role"] == USER:
            prefix, *others = _framed(pieces.user, message["content"], learnt=False)
            spans += [prefix, *lead, *others]
            lead = []
        else:
            spans += _answer(pieces, message["content"], index == len(turns) - 1)
    spans.append(_spelled(pieces.generation if generation_prompt else pieces.end))
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


def pieces_to_json(pieces: ChatPieces | None) -> dict | None:
    """Returns the pieces as plain JSON values, for bundle.json."""
    return None if pieces is None else asdict(pieces)


def pieces_from_json(entry: object) -> ChatPieces | None:
    """Rebuilds the pieces from bundle.json; None where it has none.

    Raises:
      InputError: an entry is missing, of another type, or does not go with the others.
    """
    if entry is None:
        return None
    try:
        pieces: ChatPieces = typed(ChatPieces, entry, "chat")
    except MistypedError as error:
        raise InputError(f"bundle.json: {error}; export the bundle again") from error
    problem = None
    if not pieces.assistant.suffix:
        problem = "chat.assistant.suffix is empty: nothing ends an answer"
    elif pieces.system_in_user and pieces.system is None:
        problem = "chat.system_in_user without chat.system"
    if problem:
        raise InputError(f"bundle.json: {problem}; export the bundle again")
    return pieces


def _answer(pieces, content, is_last):
    """Returns the spans of an assistant's message."""
    turn, insert = pieces.assistant, pieces.last_answer if is_last else ""
    prefix, content, suffix = _framed(turn, content.lstrip("\n") if insert else content, True)
    return [prefix, Span(insert, spelled=True, learnt=True), content, suffix]


def _framed(turn, content, learnt):
    """Returns the spans of a message: its prefix, its content, its suffix."""
    content = content.strip() if turn.trim else content
    return [
        _spelled(turn.prefix),
        Span(content, spelled=False, learnt=learnt),
        Span(turn.suffix, spelled=True, learnt=learnt),
    ]


def _spelled(text):
    return Span(text, spelled=True, learnt=False)
