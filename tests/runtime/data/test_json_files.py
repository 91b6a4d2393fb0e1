"""JSON files as people bring them: rows in another form are named as what they are."""

import json
import re

import pytest

from pocketllm.runtime.data.reader import read_examples
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks import causal
from pocketllm.runtime.tasks.masked import TASKS

SST2 = TASKS["sst2"]
ROWS = [{"sentence": "a", "label": 1}, {"sentence": "b", "label": 0}]
BY_COLUMN = {"sentence": ["a", "b"], "label": [1, 0]}


@pytest.fixture
def refusal(tmp_path):
    """Returns the message that refuses a file of this text."""

    def message(content, task=SST2, name="d.json"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        with pytest.raises(InputError) as error:
            read_examples(path, task)
        assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)
        return str(error.value)

    return message


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["d.json", "d.jsonl"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"data": ROWS}, "the rows stand in 'data', .*; give that array alone"),
        ({"version": "1", "data": ROWS}, "the rows stand in 'data', .*; give that array alone"),
        ({"train": ROWS, "test": ROWS}, "stand in 'train' and 'test', .*; give one of these"),
        (
            {"features": [{"name": "sentence"}], "rows": [{"row_idx": 0, "row": ROWS[0]}]},
            "a page of the Hub's datasets server .*each in 'row'",
        ),
        (BY_COLUMN, "a list for each column, .*to_json"),
        (
            {name: dict(zip("01", values)) for name, values in BY_COLUMN.items()},
            "a table by columns .*pandas' default.*orient='records', lines=True",
        ),
        (
            {"columns": ["sentence", "label"], "index": [0], "data": [["a", 1]]},
            "a table split into 'columns' and 'data', .*to_json",
        ),
        (dict(zip("01", ROWS)), "an object of rows by key"),
        ({"data": [{"sentence": "no label"}]}, "the rows stand in 'data', "),
        ({"train": BY_COLUMN, "test": BY_COLUMN}, "a table by columns under each of 'train', 'te"),
    ],
)
def test_rows_in_another_form_are_named(value, kind, name, indent, refusal):
    message = refusal(json.dumps(value, indent=indent), name=name)

    assert re.search(f": found .*{kind}", message), message
    assert "expected an object a line or one array; " in message


def test_a_row_of_the_datasets_server_is_named_in_every_place(refusal):
    row = json.dumps({"row_idx": 0, "row": ROWS[0]})
    for content in (f"[{row}]", f"{row}\n{row}\n"):
        assert "stand in 'row': give that alone" in refusal(content)


def test_a_row_on_several_lines_and_commas_behind_rows_are_named(refusal):
    pretty = json.dumps(ROWS[0], indent=1)
    for content in (pretty, pretty + "\n" + pretty):
        assert "line 1: found an object on 4 lines, " in refusal(content)
    commas = "".join(json.dumps(row) + ",\n" for row in ROWS)
    for content in (commas, commas[:-2], pretty + ",\n" + pretty):
        assert "found a comma behind the object, " in refusal(content)


def test_rows_of_a_nested_layout_in_an_object_are_named(refusal):
    row = {"idx": 0, "passage": {"text": "P", "questions": []}}
    message = refusal(json.dumps({"version": 1, "data": [row]}, indent=1), causal.TASKS["multirc"])
    assert "the rows stand in 'data', " in message


def test_a_row_of_a_nested_layout_is_no_wrapper(tmp_path):
    path = tmp_path / "d.jsonl"
    row = {
        "passage": {"text": "Ann met Bob.", "entities": [{"start": 0, "end": 2}]},
        "qas": [{"query": "@placeholder met Bob.", "answers": [{"text": "Ann"}]}],
    }
    path.write_text(json.dumps(row))
    ((example,), _) = read_examples(path, causal.TASKS["record"])
    assert example.options == (" Ann met Bob.",)


@pytest.mark.parametrize("begin", ["", "["])
def test_a_key_that_an_object_has_twice_is_refused_by_its_line(begin, refusal):
    first = json.dumps(ROWS[0])
    for twice in (
        '{"sentence": "a", "label": 1, "sentence": "b"}',
        '{"sentence": "a", "label": 1, "meta": {"sentence": 1, "sentence": 1}}',
    ):
        content = f"[{first},\n{twice}]" if begin else f"{first}\n{twice}\n"
        assert "line 2: found the key 'sentence' twice in an object" in refusal(content)
        assert "line 1: found the key 'sentence' twice" in refusal(begin + twice)


def test_broken_json_is_named_by_line_and_by_the_column_of_the_fault(refusal):
    first = json.dumps(ROWS[0])
    for broken, column in (
        ('{"sentence": "a", "label": 1', 29),  # no brace: behind the last sign
        ('{"sentence": "a" "label": 1}', 18),
        ('{"sentence": a, "label": 1}', 14),
        ('{"sentence": "a, "label": 1}', 19),
        ('{"sentence": "a", "label": 1}}', 30),
    ):
        for end in ("\n", "", "  \r\n"):
            message = refusal(f"{first}\n{broken}{end}", name="d.jsonl")
            assert " line 2: found no valid JSON (" in message, message
            assert f" at column {column})" in message, message
