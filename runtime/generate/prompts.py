"""Prompts: what a text is written behind, given on the command line or as rows of a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..bundle.contents import Bundle
from ..data.files.columns import FileRow
from ..data.files.json_rows import json_rows
from ..data.files.lines import lines_of
from ..data.files.text_forms import COMPLETION, PROMPT, TEXT, form_of
from ..data.text_reader import JSON_FILES, FormColumns
from ..errors import InputError
from ..tasks.chat import ASSISTANT, USER, Span, order_problem, render
from ..tasks.text import CHAT, LM, SFT, TextTask

ANSWERS = {COMPLETION: "", "output": ""}  # keys of what is left out, which a row need not have
OF_CHATS = ("messages", "conversations")


@dataclass(frozen=True)
class Prompt:
    """What a text is written behind.

    Attributes:
      shown: for people: the text, or the last message of a chat.
      spans: of the text.
      messages: of a chat; none of a text.
    """

    shown: str
    spans: tuple[Span, ...]
    messages: tuple[Mapping[str, str], ...] = ()


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
    prompts = [_prompt_of(f"{path} line {row.line}", row.values, bundle) for row in rows]
    if not prompts:
        raise InputError(f"{path}: found no prompts, expected at least one; check the file")
    return prompts


def _prompt_of(where, values, bundle) -> Prompt:
    """Returns a row's prompt: what stands before the last answer."""
    task = _task_for(values, bundle)
    if task.form != CHAT and TEXT in values and PROMPT not in values:
        values = {PROMPT: values[TEXT]}
    lacking: dict[str, object] = {
        name: empty for name, empty in ANSWERS.items() if values.get(name) is None
    }
    if isinstance(values.get(PROMPT), list):
        lacking[COMPLETION] = []
    values = {**values, **lacking}
    messages = form_of(where, values, task).read(where, values)
    if messages and messages[-1]["role"] in (ASSISTANT, COMPLETION):
        messages = messages[:-1]
    if not messages or not messages[-1]["content"].strip():
        raise InputError(f"{where}: the prompt is empty; fill it in, or leave the row out")
    if task.form != CHAT:
        return text_prompt(messages[-1]["content"])
    try:
        return chat_prompt(bundle, messages)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _task_for(values, bundle):
    """Returns the task whose forms a row is read in; those of plain text as of a prompt."""
    of_chat = any(name in values for name in OF_CHATS)
    form = getattr(bundle.task, "form", SFT)
    if of_chat and bundle.chat is not None:
        form = CHAT
    return TextTask(form, SFT if form == LM else form, "all")
