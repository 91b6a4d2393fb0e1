"""Rows of prompts: those of training in every spelling, without their answer or with it."""

import json
from types import SimpleNamespace

import pytest

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.generate.prompts import read_prompts
from pocketllm.runtime.tasks.chat import ChatPieces, Turn
from pocketllm.runtime.tasks.text import TASKS

USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}
TURN = Turn("[", "]", "nothing", "nothing", ())
PIECES = ChatPieces("", "", TURN, False, False, TURN, TURN, "", "", None, "[", "")
SHARED = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]


def read(tmp_path, form, *rows):
    """Returns what is shown of each prompt."""
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bundle = SimpleNamespace(task=TASKS[form], chat=PIECES, folder="bundle")
    return [prompt.shown for prompt in read_prompts(path, bundle)]


def test_a_row_of_training_is_a_prompt_with_and_without_its_answer(tmp_path):
    chats = (
        {"messages": [USER, ANSWER]}, {"messages": [USER]}, {"Messages": [USER, ANSWER]},
        {"conversations": SHARED}, {"prompt": "Hi"}, {"Prompt": "Hi", "Completion": "Hello."},
        {"prompt": [USER], "completion": [ANSWER]}, {"prompt": [USER]},
        {"instruction": "Hi", "output": "Hello."}, {"instruction": "Hi", "input": None},
    )  # fmt: skip
    assert read(tmp_path, "chat", *chats) == ["Hi"] * len(chats)
    for form in ("sft", "lm"):
        rows = *chats[:4], {"prompt": "Hi"}, {"text": "Hi"}, {"Text": "Hi"}
        assert read(tmp_path, form, *rows) == ["Hi"] * len(rows)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": [USER], "tools": [{"name": "f"}]}, "found the key 'tools', which is not"),
        ({"instruction": "Hi", "history": [["a", "b"]]}, "found the key 'history', which is not"),
        ({"Question": "Hi"}, "found the keys 'Question'; expected messages"),
        ({"messages": None}, "found the keys none; expected messages"),
        ({"messages": [ANSWER]}, "the prompt is empty"),
        ({"messages": [ANSWER, USER]}, "message 1 has the role 'assistant'"),
    ],
)
def test_a_row_that_is_no_prompt_is_one_line_with_what_it_has(row, problem, tmp_path):
    with pytest.raises(InputError) as error:
        read(tmp_path, "chat", {"messages": [USER]}, row)

    assert f"prompts.jsonl line 2: {problem}" in str(error.value)
    assert "\n" not in str(error.value)
