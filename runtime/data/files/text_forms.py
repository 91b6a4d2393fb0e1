"""Rows of learnt text as people hold them: which keys make which form, and what is read of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...errors import InputError
from ...tasks.chat import ASSISTANT, SYSTEM, USER, order_problem
from ...tasks.rows import shown, text_of
from ...tasks.text import CHAT, EVERYTHING, LM, SFT, TextTask

PROMPT, COMPLETION, TEXT = "prompt", "completion", "text"
Messages = tuple[dict[str, str], ...]  # of "role" and "content"

# Alpaca's own words, from "Stanford Alpaca" (2023).
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)
ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n### Instruction:\n"
    "{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)
# ShareGPT's roles, and those of others who write so.
SHARED_ROLES = {"human": USER, "user": USER, "gpt": ASSISTANT, "assistant": ASSISTANT}
# Keys that change what a row says, beside those that are read.
MEANING_MORE = ("tools", "functions", "history", "images", "image", "videos", "audios", "weight")
EMPTY = (None, "", [], {})


@dataclass(frozen=True)
class Form:
    """One way to write rows.

    Attributes:
      keys: that a row must have.
      further: that it may have.
      read: (where, row) -> its messages.
      note: what is said where a file has such rows; empty for the task's own form.
      is_nested: whether its values are lists, which no cell of a table holds.
    """

    keys: tuple[str, ...]
    further: tuple[str, ...]
    read: Callable[[str, Mapping[str, object]], Messages]
    note: str = ""
    is_nested: bool = False

    def fits(self, columns: Iterable[str]) -> bool:
        """Whether a row of these columns has this form."""
        return set(self.keys) <= set(columns)


def form_of(where: str, columns: Iterable[str], task: TextTask) -> Form:
    """Returns the first of a task's forms that a row has.

    Raises:
      InputError: it has none.
    """
    columns = list(columns)
    for form in FORMS[task.form]:
        if form.fits(columns):
            return form
    raise no_form(where, columns, task.form)


def no_form(where: str, columns: Sequence[str], form: str, of_table: bool = False) -> InputError:
    """Returns the error of a row, or of the first line of a table, that has none of the forms."""
    forms = [way for way in FORMS[form] if not (of_table and way.is_nested)]
    expected = ", or ".join(" and ".join(way.keys) for way in forms)
    names = ", ".join(map(shown, columns[:12])) or "none"
    kind, remedy = "keys", "name them so"
    if of_table:
        kind, remedy = "columns", "name them so in the first line"
        if len(forms) < len(FORMS[form]):
            remedy += f", or write JSON rows with {FORMS[form][0].keys[0]}"
    if any(_bare(name).startswith("label") for name in columns):
        remedy = (
            "rows with a label are learnt with a bundle exported with the --task of these labels, "
            "as --task=sst2"
        )
    remedy = task_remedy(columns, FORMS) or remedy
    return InputError(f"{where}: found the {kind} {names}; expected {expected}; {remedy}")


def task_remedy(columns: Iterable[str], tasks: Iterable[str]) -> str:
    """Returns which of some tasks of learnt text learns rows of these columns; "" for none."""
    names = {_bare(name) for name in columns}
    fitting = [task for task in tasks if any(form.fits(names) for form in FORMS[task])]
    if not fitting:
        return ""
    exported = " or ".join(f"--task={task}" for task in fitting)
    return f"such rows are learnt with a bundle exported with {exported}"


def read_row(where: str, values: Mapping[str, object], form: Form, task: TextTask) -> Messages:
    """Returns what a row says.

    Raises:
      InputError: it cannot be learnt, or has a key that would change what it says.
    """
    messages = messages_of(where, values, form)
    if task.form == CHAT:
        _check_chat(where, messages, task)
    elif not messages[-1]["content"].strip():
        raise InputError(
            f"{where}: found an empty {messages[-1]['role']}, expected text: nothing is learnt of "
            "it; fill it in, or leave the row out"
        )
    return messages


def messages_of(where: str, values: Mapping[str, object], form: Form) -> Messages:
    """Returns the messages of a row, which may have no answer.

    Raises:
      InputError: it is not written as its form is, or has a key that would change what it says.
    """
    for name in MEANING_MORE:
        if values.get(name) not in EMPTY and name not in (*form.keys, *form.further):
            raise InputError(
                f"{where}: found the key {name!r}, which is not read here; take it out, or leave "
                "the row out"
            )
    return form.read(where, values)


def _check_chat(where, messages, task):
    roles = [message["role"] for message in messages]
    if problem := order_problem(roles):
        raise InputError(f"{where}: {problem}; correct the row")
    for number, message in enumerate(messages, 1):
        if message["role"] == ASSISTANT and not message["content"].strip():
            raise InputError(
                f"{where}: message {number}, the assistant's, is empty, expected text; fill it in, "
                "or leave the row out"
            )
    if ASSISTANT not in roles and task.learnt != EVERYTHING:
        raise InputError(
            f"{where}: found no message of the assistant, so that nothing is learnt of the row; "
            "leave it out"
        )


def _pair(where, values):
    return (
        _message(PROMPT, text_of(where, PROMPT, values[PROMPT])),
        _message(COMPLETION, text_of(where, COMPLETION, values[COMPLETION])),
    )


def _alpaca(where, values):
    texts = {name: _optional(where, values, name) for name in ("instruction", "input", "output")}
    # Put together, not formatted: braces of a person's text stay what they are.
    template = ALPACA_WITH_INPUT if texts["input"] else ALPACA
    before, behind = template.split("{instruction}")
    behind = texts["input"].join(behind.split("{input}"))
    prompt = before + texts["instruction"] + behind
    return _message(PROMPT, prompt), _message(COMPLETION, texts["output"])


def _text(where, values):
    return (_message(TEXT, text_of(where, TEXT, values[TEXT])),)


def _messages(where, values):
    return _listed(where, "messages", values["messages"])


def _conversations(where, values):
    messages = _listed(where, "conversations", values["conversations"])
    system = _optional(where, values, SYSTEM)
    if system and not (messages and messages[0]["role"] == SYSTEM):
        return (_message(SYSTEM, system), *messages)
    return messages


def _asked(where, values):
    prompt, completion = values[PROMPT], values[COMPLETION]
    if isinstance(prompt, list):
        before = _listed(where, PROMPT, prompt)
        if any(message["role"] == ASSISTANT for message in before):
            raise InputError(
                f"{where}: found an assistant's message in 'prompt', expected none there: every "
                "answer is learnt; write the row with the key messages"
            )
        return before + _listed(where, COMPLETION, completion)
    user, assistant = _pair(where, values)
    return _message(USER, user["content"]), _message(ASSISTANT, assistant["content"])


def _instructed(where, values):
    texts = {name: _optional(where, values, name) for name in ("instruction", "input", "output")}
    user = "\n\n".join(text for text in (texts["instruction"], texts["input"]) if text)
    system = _optional(where, values, SYSTEM)
    first = (_message(SYSTEM, system),) if system else ()
    return (*first, _message(USER, user), _message(ASSISTANT, texts["output"]))


def _listed(where, key, entries) -> Messages:
    """Reads a list of messages, in either spelling."""
    if not isinstance(entries, list):
        raise InputError(
            f"{where}: found {shown(entries)} in {key!r}, expected a list of messages, as JSON "
            "rows have it; correct the row"
        )
    return tuple(_read_message(where, f"{key}[{i}]", entry) for i, entry in enumerate(entries))


def _read_message(where, place, entry):
    names = ("from", "value") if isinstance(entry, dict) and "from" in entry else _SPELLED
    if not isinstance(entry, dict) or not set(names) <= set(entry):
        raise InputError(
            f"{where}: found {shown(entry)} in {place}, expected an object of role and content, or "
            "of from and value; correct the row"
        )
    for key, value in entry.items():
        if key not in names and value not in EMPTY:
            raise InputError(
                f"{where}: found the key {shown(key)} in {place}, expected {' and '.join(names)} "
                "alone; take it out, or leave the row out"
            )
    role, content = (text_of(where, f"{place}.{name}", entry[name]) for name in names)
    return _message(SHARED_ROLES.get(role, role), content)


def _optional(where, values, name):
    value = values.get(name)
    return "" if value is None else text_of(where, name, value)


def _bare(column):
    return column.strip().casefold()


def _message(role, content):
    return {"role": role, "content": content}


_SPELLED = ("role", "content")
_ALPACA_KEYS = ("instruction", "output"), ("input",)
FORMS = {
    SFT: (
        Form((PROMPT, COMPLETION), (), _pair),
        Form(*_ALPACA_KEYS, _alpaca, "instruction, input and output read as Alpaca's prompts"),
    ),
    CHAT: (
        Form(("messages",), (), _messages, is_nested=True),
        Form(
            ("conversations",),
            (SYSTEM,),
            _conversations,
            "conversations read as messages (human is the user, gpt the assistant)",
            is_nested=True,
        ),
        Form(
            (PROMPT, COMPLETION),
            (),
            _asked,
            "prompt and completion read as a user's message and the assistant's",
        ),
        Form(
            _ALPACA_KEYS[0],
            (*_ALPACA_KEYS[1], SYSTEM),
            _instructed,
            "instruction and input read as a user's message, output as the assistant's",
        ),
    ),
    LM: (Form((TEXT,), (), _text),),
}
