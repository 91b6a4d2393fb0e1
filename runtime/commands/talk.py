"""A chat on the terminal, and how a text is shown while it is written."""

import sys
from collections.abc import Callable, Iterator

from ..bundle.contents import Bundle
from ..errors import InputError
from ..generate.conversation import Conversation
from ..generate.prompts import Prompt
from ..generate.statistics import describe_end, describe_speed
from ..generate.writer import Written
from ..host import signals

NEW = "/new"


def talk(
    bundle: Bundle, conversation: Conversation, write: Callable[..., Written]
) -> list[tuple[Prompt, Written]]:
    """Answers what is typed until the end of input; returns what was asked and answered.

    Args:
      bundle: what answers.
      conversation: of its tokenizer.
      write: (ids, number=, hear=) -> Written.
    """
    print(f"{NEW} begins anew, Ctrl-C ends an answer, Ctrl-D the chat")
    turns: list[tuple[Prompt, Written]] = []
    for line in _lines():
        if line.strip() == NEW:
            conversation.begin()
            continue
        try:
            prompt, ids = _asked(bundle, conversation, line)
        except InputError as error:
            print(error)
            continue
        heard = Heard()
        try:
            written = write(ids, number=len(turns), hear=heard)
        except KeyboardInterrupt:
            signals.install()  # the next Ctrl-C is a first one again
            print(" [stopped]")
            conversation.answered(prompt, heard.text)
            continue
        print_end(prompt, written, bundle)
        conversation.answered(prompt, written.text)
        turns.append((prompt, written))
    return turns


class Heard:
    """Shows a text as it comes, and keeps it."""

    def __init__(self):
        self.text = ""

    def __call__(self, text: str) -> None:
        """Takes the next piece."""
        self.text += text
        show(text)


def show(text: str) -> None:
    """Prints the next piece of a text."""
    print(text, end="", flush=True)


def print_end(prompt: Prompt, written: Written, bundle: Bundle) -> None:
    """Ends a text, and says on stderr how fast it was written and what cut it short."""
    print(flush=True)
    end = describe_end(written, bundle, is_chat=bool(prompt.messages))
    line = f"[{describe_speed(written, bundle)}{'; ' + end if end else ''}]"
    print(line, file=sys.stderr, flush=True)


def _lines() -> Iterator[str]:
    """Yields what is typed, until the end of input."""
    while True:
        print("\n> ", end="", flush=True)  # by input, it would go where libraries' lines go
        try:
            line = input()
        except EOFError:
            print()
            return
        if line.strip():
            yield line


def _asked(bundle, conversation, line):
    """Returns (prompt, its ids); where the chat is too long, of the new message alone."""
    prompt = conversation.prompt_behind(line)
    try:
        return prompt, conversation.ids_of(prompt)
    except InputError:
        if not conversation.messages:
            raise
    print(f"[the chat is longer than {bundle.context} tokens: it begins anew with this message]")
    conversation.begin()
    prompt = conversation.prompt_behind(line)
    return prompt, conversation.ids_of(prompt)
