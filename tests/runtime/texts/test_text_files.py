"""Files of learnt text: every form is read and said once, what cannot be learnt is one line."""

import gzip
import json

import pytest

from pocketllm.runtime.data.dataset import data_file
from pocketllm.runtime.data.files.text_forms import ALPACA, ALPACA_WITH_INPUT
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks import masked
from pocketllm.runtime.tasks.text import EVERYTHING, TASKS, TextTask

pytest_plugins = ["runtime_fixtures"]

PAIR = {"prompt": "Hi", "completion": "Hello."}
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
SHARED = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
ASKED = {"instruction": "Say {input}", "input": "", "output": "Hello."}


def read(path, form, learnt=None):
    """Returns ([[(role, content)] of each row], notes)."""
    task = TASKS[form] if learnt is None else TextTask(form, form, learnt)
    file = data_file(path, task)
    rows = [[(m["role"], m["content"]) for m in row.messages] for row in file.examples()]
    return rows, file.notes


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_forms_of_each_task_are_read_and_those_that_are_not_its_own_are_said(write):
    pair, chat = (
        [("prompt", "Hi"), ("completion", "Hello.")],
        [("user", "Hi"), ("assistant", "Hello.")],
    )
    alpaca = [("prompt", ALPACA.replace("{instruction}", "Say {input}")), ("completion", "Hello.")]
    short = {"instruction": "Say", "output": "Hello."}
    system = [("system", "Be kind."), *chat]
    cases = [
        ("sft", PAIR, pair, ""),
        ("sft", ASKED, alpaca, "Alpaca"),
        ("chat", {"messages": CHAT}, chat, ""),
        ("chat", {"messages": SHARED}, chat, ""),
        ("chat", {"messages": [{"role": "system", "content": "Be kind."}, *CHAT]}, system, ""),
        ("chat", {"conversations": SHARED}, chat, "conversations read as messages"),
        ("chat", {"conversations": CHAT}, chat, "conversations read as messages"),
        ("chat", {"conversations": SHARED, "system": "Be kind."}, system, "conversations"),
        ("chat", PAIR, chat, "prompt and completion read as"),
        ("chat", {"prompt": CHAT[:1], "completion": CHAT[1:]}, chat, "prompt and completion"),
        ("chat", short, [("user", "Say"), ("assistant", "Hello.")], "output as the assistant's"),
        ("chat", short | {"input": "x"}, [("user", "Say\n\nx"), ("assistant", "Hello.")], "output"),
        ("lm", {"text": "Notes."}, [("text", "Notes.")], ""),
    ]  # fmt: skip
    for form, row, expected, note in cases:
        rows, notes = read(write(lines(row, row), "d.jsonl"), form)
        assert rows == [expected, expected], (form, row)
        assert len(notes) == bool(note) and note in "".join(notes), (form, row, notes)


def test_alpacas_prompt_has_its_input_and_braces_stay_what_they_are(write):
    row = {"instruction": "a {input} b", "input": "{instruction}", "output": "c"}
    ((prompt, _),), _ = read(write(lines(row), "d.jsonl"), "sft")

    before, behind = ALPACA_WITH_INPUT.split("{instruction}")
    assert prompt[1] == before + "a {input} b" + behind.replace("{input}", "{instruction}")


def test_tables_and_arrays_are_read_and_said(write):
    first = [("prompt", "Hi"), ("completion", 'He said "no",\nand left.')]
    expected = [first, [("prompt", "a"), ("completion", "b")]]
    quoted = 'prompt,completion\nHi,"He said ""no"",\nand left."\na,b\n'
    assert read(write(quoted, "d.csv"), "sft") == (expected, ["a CSV file, a line a row"])
    array = json.dumps([dict(row) for row in expected], indent=1)
    assert read(write(array, "d.json"), "sft") == (expected, ["a JSON array, an object a row"])
    table = "Instruction\toutput\nHi\tb\n"
    rows, notes = read(write(table, "d.tsv"), "sft")
    assert rows[0][1] == ("completion", "b") and "### Instruction:\nHi\n" in rows[0][0][1]
    assert [note.split(",")[0] for note in notes] == ["a TSV file", "instruction"]
    zipped = gzip.compress(lines(PAIR).encode())
    assert len(read(write(zipped, "d.jsonl.gz"), "sft")[0]) == 1


def test_a_plain_text_is_one_row(write):
    text = 'First line.\r\n\r\nSecond, with \t and "quotes".\n'
    for name in ("notes.txt", "notes.md"):
        rows, notes = read(write(text, name), "lm")
        assert rows == [[("text", text.replace("\r\n", "\n"))]] and notes == ["read as one text"]


def test_keys_that_are_not_read_are_said_once_and_null_is_no_key(write):
    rows = [PAIR | {"id": 7, "messages": None}, PAIR | {"id": 8, "source": "s"}]
    _, notes = read(write(lines(*rows), "d.jsonl"), "sft")
    assert notes == ["not read: 'id' (line 1), 'source' (line 2)"]
    _, notes = read(write(lines(PAIR | {f"k{i}": 1 for i in range(9)}), "d.jsonl"), "sft")
    assert notes[0].endswith("'k4' (line 1) and 4 more")


def turns(*roles):
    return {"messages": [{"role": role, "content": "x"} for role in roles]}


BAD = {
    "unknown keys": ("sft", {"question": "a", "answer": "b"},  "the keys 'question', 'answer'"),
    "another task's row": ("sft", {"messages": CHAT}, "exported with --task=chat"),
    "text for prompts": ("sft", {"text": "a"}, "exported with --task=lm"),
    "prompts for text": ("lm", PAIR, "bundle exported with --task=sft or --task=chat"),
    "labels": ("chat", {"sentence": "a", "label": 1}, "with the --task of these labels"),
    "no string": ("sft", {"prompt": 3, "completion": "a"}, "found 3 in 'prompt'"),
    "empty completion": ("sft", {"prompt": "a", "completion": " \n"}, "found an empty completion"),
    "empty text": ("lm", {"text": ""}, "found an empty text"),
    "no list": ("chat", {"messages": "Hi"}, "found 'Hi' in 'messages', expected a list"),
    "no messages": ("chat", {"messages": []}, "no messages"),
    "no object": ("chat", {"messages": ["Hi"]}, "found 'Hi' in messages[0], expected an object"),
    "no content": ("chat", {"messages": [{"role": "user"}]}, "expected an object of role and"),
    "parts": ("chat", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "a string"),
    "assistant first": ("chat", turns("assistant", "user"), "message 1 has the role 'assistant'"),
    "two users": ("chat", turns("user", "user", "assistant"), "message 2 has the role 'user'"),
    "late system": ("chat", turns("user", "system"), "message 2 has the role 'system'"),
    "unknown role": ("chat", turns("user", "tool"), "message 2 has the role 'tool'"),
    "system alone": ("chat", turns("system"), "a system message alone"),
    "no assistant": ("chat", turns("user"), "found no message of the assistant"),
    "empty assistant": (
        "chat", {"messages": [CHAT[0], {"role": "assistant", "content": " "}]},
        "message 2, the assistant's, is empty",
    ),
    "tool calls": (
        "chat", {"messages": [CHAT[0], CHAT[1] | {"tool_calls": [{"id": 1}]}]},
        "found the key 'tool_calls' in messages[1]",
    ),
    "tools": ("chat", {"messages": CHAT, "tools": [{"name": "f"}]}, "found the key 'tools'"),
    "not to be learnt": ("chat", {"messages": CHAT, "weight": 0}, "found the key 'weight'"),
    "answered prompt": (
        "chat", {"prompt": [*CHAT, CHAT[0]], "completion": CHAT[1:]}, "expected none there",
    ),
    "half a pair": ("sft", {"prompt": "\ud83d", "completion": "a"}, "half a surrogate pair"),
    "empty shared": (
        "chat", {"conversations": [SHARED[0], {"from": "gpt", "value": ""}]}, "is empty",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_cannot_be_learnt_is_one_line_with_its_number(name, write):
    form, row, problem = BAD[name]
    good = {"sft": PAIR, "chat": {"messages": CHAT}, "lm": {"text": "a"}}[form]
    path = write(lines(good, row), "d.jsonl")
    with pytest.raises(InputError) as error:
        read(path, form)
    assert str(error.value).startswith(f"{path} line 2: ") and problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("before", [b"", b"[\n"])
def test_bytes_that_are_no_utf8_are_named_by_line_and_position(before, write):
    row = lines({"messages": CHAT}).encode()
    path = write(before + row + b'{"messages": "\xff"}\n', "d.json")
    with pytest.raises(InputError) as error:
        read(path, "chat")
    line = 3 if before else 2
    assert str(error.value).startswith(f"{path} line {line}: found byte 0xff at position 14, ")


def test_a_chat_without_an_answer_is_read_where_everything_is_learnt(write):
    rows, _ = read(write(lines(turns("user")), "d.jsonl"), "chat", EVERYTHING)
    assert rows == [[("user", "x")]]


def test_empty_files_wrong_headers_and_unknown_extensions_are_one_line(write):
    for content, name, form, problem in (
        ("", "d.jsonl", "sft", "found no rows"),
        ("prompt,answer\na,b\n", "d.csv", "sft", "found the columns 'prompt', 'answer'; expected"),
        ("a\n", "d.docx", "lm", "found the extension '.docx'"),
        (json.dumps({"data": [PAIR, PAIR]}), "d.json", "sft", "the rows stand in 'data'"),
        (
            json.dumps({"prompt": ["a", "b"], "completion": ["c", "d"]}),
            "d.json",
            "sft",
            "a list for",
        ),
    ):
        with pytest.raises(InputError, match=problem):
            read(write(content, name), form)


FLAT = "expected prompt and completion, or instruction and output; "
HEADERS = {
    "roles": ("user,assistant\nHi,Hello\n", "d.csv", "chat", "'user', 'assistant'; " + FLAT),
    "json": ("user,assistant\nHi,Hello\n", "d.csv", "chat", "or write JSON rows with messages"),
    "labels": ("sentence\tlabel\nok\t1\n", "d.tsv", "chat", FLAT + "rows with a label are learnt"),
    "no header": ("Hi\tHello\n", "d.tsv", "sft", FLAT + "name them so in the first line"),
    "text": ("text\nHello\n", "d.csv", "chat", "exported with --task=lm"),
    "a prompt": ("question\nHi\n", "d.csv", "lm", "'question'; expected text; name them so in the"),
    "a cell": ("messages\n[]\n", "d.csv", "chat", "expected a list of messages, as JSON rows have"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_table_without_a_forms_columns_is_told_which_a_table_can_have(name, write):
    content, file, form, problem = HEADERS[name]
    path = write(content, file)
    with pytest.raises(InputError) as error:
        read(path, form)
    message = str(error.value)
    assert message.startswith(f"{path} line ") and problem in message and "\n" not in message


CHATS = {"prompt": "Hi", "completion": "Hello."}, {"messages": CHAT}, {"conversations": SHARED}


@pytest.mark.parametrize("row", [*CHATS, {"Prompt": "Hi", "completion": "x", "label": 1}], ids=str)
def test_rows_of_chats_and_prompts_for_a_task_with_labels_are_told_their_task(row, write):
    path = write(lines(row, row), "d.jsonl")
    with pytest.raises(InputError) as error:
        list(data_file(path, masked.TASKS["sst2"]).examples())
    tasks = "--task=sft or --task=chat" if len(row) > 1 else "--task=chat"
    assert str(error.value).endswith(f"such rows are learnt with a bundle exported with {tasks}")
    assert str(error.value).startswith(f"{path} line 1: ")
