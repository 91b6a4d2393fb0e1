"""The pieces of a chat template to bundle.json and back, checked on the way back."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from ..errors import InputError
from ..host.typed_json import MistypedError, typed
from .chat import CUTS, ChatPieces


def pieces_to_json(pieces: ChatPieces | None) -> dict | None:
    """Returns the pieces as plain JSON values, for bundle.json; None for none."""
    return None if pieces is None else json.loads(json.dumps(asdict(pieces)))


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
    problem = next(_problems(pieces), None)
    if problem:
        raise InputError(f"bundle.json: chat: {problem}; export the bundle again")
    return pieces


def _problems(pieces: ChatPieces) -> Iterator[str]:
    """Yields the reasons why well-typed pieces cannot be used."""
    turns = {"system": pieces.system, "user": pieces.user, "assistant": pieces.assistant}
    for role, turn in turns.items():
        if turn is None:
            continue
        for side, cut in (("left", turn.left), ("right", turn.right)):
            if cut not in CUTS:
                yield f"{role}.{side} is {cut!r}, expected {', '.join(CUTS)}"
        if not all(turn.refused):
            yield f"{role}.refused holds an empty word"
    if not pieces.assistant.suffix:
        yield "assistant.suffix is empty, expected what ends an answer"
    if pieces.system is None and (pieces.system_in_user or pieces.drops_empty_system):
        yield "a place for system messages, and system is null"
    marks = pieces.thinking
    if marks and not (marks.prefix.strip() and marks.suffix.strip()):
        yield "thinking without marks"
