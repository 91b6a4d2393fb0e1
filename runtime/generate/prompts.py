"""Prompts: what a text is written behind, given on the command line or as rows of a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..bundle.contents import Bundle
from ..data.files.columns import FileRow
from ..data.files.json_rows import json_rows
from ..data.files.lines import lines_of
from ..data.files.text_forms import COMPLETION, FORMS, PROMPT, TEXT, form_of, messages_of
from ..data.text_reader import JSON_FILES, FormColumns, named_row
from ..errors import InputError
from ..tasks.chat import ASSISTANT, USER, Span, order_problem, render
from ..tasks.text import CHAT, LM, SFT, TextTask

ANSWERS = (COMPLETION, "output")  # keys of what is left out, which a row need not have
OF_CHATS = ("messages", "conversations")


@dataclass(frozen=True)
class Prompt:
    """What a text is written behind.

    Attributes:
      shown: for people: the text, or the last message of a chat.
      spans: of the text.
      messages: of a chat; none of a text.
      where: file and line that it stands in; "" for one that was typed.
    """

    shown: str
    spans: tuple[Span, ...]
    messages: tuple[Mapping[str, str], ...] = ()
    where: str = ""


def text_prompt(text: str) -> Prompt:
    """Returns the prompt of a text to continue; special tokens that it spells are text."""
    return Prompt(text, (Span(text, spelled=False, learnt=False),))


def chat_prompt(bundle: Bundle, messages: Sequence[Mapping[str, str]]) -> Prompt:
    """Returns the prompt of a chat whose last message the model answers.

    Raises:
      InputError: the bundle has no chat template, or messages that are no chat.
    """
    if bundle.chat is None:
        raise InputError(
            f"{bundle.folder}: without a chat template; give --prompt, or export a model that has "
            "one, or with --chat_template"
        )
    problem = order_problem([message["role"] for message in messages])
    if not problem and messages[-1]["role"] != USER:
        problem = "the last message is the assistant's, expected a user's"
    if problem:
        raise InputError(problem)
    spans = render(bundle.chat, messages, generation_prompt=True)
    return Prompt(messages[-1]["content"], spans, tuple(messages))


def read_prompts(path: str | Path, bundle: Bundle) -> list[Prompt]:
    """Reads a file of prompts: rows as of training data, or .txt, a prompt a line.

    Raises:
      InputError: the file cannot be read, a row holds no prompt, or there is none.
    """
    path = Path(path)
    if path.suffix.lower() == ".txt":
        rows = (
            FileRow({PROMPT: text.rstrip("\r\n")}, line)
            for line, text in lines_of(path)
            if text.strip()
        )
    elif path.suffix.lower() in JSON_FILES:
        rows = json_rows(path, FormColumns({PROMPT: (PROMPT,)}, "nested"), [])
    else:
        expected = ", ".join((*JSON_FILES, ".txt"))
        raise InputError(
            f"{path}: found the extension {path.suffix!r}, expected {expected}; convert the file"
        )
    places = ((f"{path} line {row.line}", row.values) for row in rows)
    prompts = [replace(_prompt_of(*place, bundle), where=place[0]) for place in places]
    if not prompts:
        raise InputError(f"{path}: found no prompts, expected at least one; check the file")
    return prompts


def _prompt_of(where, row, bundle) -> Prompt:
    """Returns a row's prompt: what stands before the last answer."""
    given = {key: value for key, value in row.items() if value is not None}
    values = _with_answer(given)
    form = getattr(bundle.task, "form", SFT)
    if bundle.chat is not None and any(name in named_row(values, CHAT) for name in OF_CHATS):
        form = CHAT
    if form != CHAT:
        form, text = SFT, named_row(values, LM).get(TEXT)
        values = values if text is None else {PROMPT: text, **values}
    values = named_row(values, form)
    is_known = any(way.fits(values) for way in FORMS[form])
    way = form_of(where, values if is_known else given, TextTask(form, form, "all"))
    messages = messages_of(where, values, way)
    if messages and messages[-1]["role"] in (ASSISTANT, COMPLETION):
        messages = messages[:-1]
    if not messages or not messages[-1]["content"].strip():
        raise InputError(f"{where}: the prompt is empty; fill it in, or leave the row out")
    if form != CHAT:
        return text_prompt(messages[-1]["content"])
    try:
        return chat_prompt(bundle, messages)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _with_answer(values):
    """Returns a row with an empty answer where it has none."""
    empty: object = [] if isinstance(values.get(PROMPT), list) else ""
    return {**dict.fromkeys(ANSWERS, empty), **values}
