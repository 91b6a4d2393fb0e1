"""SuperGLUE's files and Hugging Face's versions of them; how a malformed row is told."""

import json

import pytest

from pocketllm.runtime.data.reader import Example, read_examples
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.causal import TASKS

ANSWERS = [{"text": "a", "label": 1, "idx": 0}, {"text": "b", "label": 0, "idx": 1}]
MULTIRC = {"idx": 0, "passage": {"text": "p", "questions": [{"question": "q", "answers": ANSWERS}]}}
QUERY = {"query": "@placeholder and @placeholder", "answers": [{"text": "Bo"}, {"text": "Al"}]}
SPANS = [{"start": 0, "end": 1}, {"start": 4, "end": 5}, {"start": 7, "end": 8}]
RECORD = {"passage": {"text": "Al, Bo Al.", "entities": SPANS}, "qas": [QUERY]}
WSC = {"text": "t", "target": {"span1_text": "A", "span2_text": "b"}, "label": False}


@pytest.fixture
def read(tmp_path):
    """Reads rows as the task of this name."""

    def read_rows(name, *rows):
        path = tmp_path / "data.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return read_examples(path, TASKS[name])[0]

    return read_rows


@pytest.mark.parametrize(
    ("name", "rows", "labels"),
    [
        ("rte", [{"premise": "p", "hypothesis": "h"}], {"entailment": 0, "not_entailment": 1}),
        ("rte", [{"sentence1": "p", "sentence2": "h"}], {0: 0, 1: 1}),
        (
            "cb",
            [{"premise": "p", "hypothesis": "h"}],
            {"entailment": 0, "contradiction": 1, "neutral": 2, 0: 0, 1: 1, 2: 2},
        ),
        ("boolq", [{"passage": "p", "question": "q"}], {True: 0, False: 1}),
        ("boolq", [{"passage": "p", "question": "q"}], {"true": 0, "false": 1, "1": 0, "0": 1}),
        ("wsc", [WSC, {"text": "t", "span1_text": "A", "span2_text": "b"}], {False: 0, True: 1}),
        ("wsc", [WSC], {0: 0, 1: 1, "True": 1, "TRUE": 1}),
        ("wic", [{"word": "w", "sentence1": "a", "sentence2": "b"}], {False: 0, 1: 1}),
        ("multirc", [{"paragraph": "p", "question": "q", "answer": "a"}], {0: 0, True: 1}),
        (
            "copa",
            [{"premise": "p", "choice1": "a", "choice2": "b", "question": "cause"}],
            {0: 0, 1: 1},
        ),
        ("sst2", [{"sentence": "s"}], {0: 0, 1: 1, "1": 1}),
    ],
)
def test_each_task_reads_its_labels_as_superglue_and_hugging_face_write_them(
    name, rows, labels, read
):
    for row in rows:
        for spelled, label in labels.items():
            (example,) = read(name, row | {"label": spelled})
            assert (example.label, example.line) == (label, 1)
            assert set(example.fields) == set(TASKS[name].columns)


def test_boolqs_original_format_calls_the_label_answer(read):
    (example,) = read("boolq", {"passage": "p", "question": "q", "answer": False})

    assert example == Example({"passage": "p", "question": "q"}, 1, 1)


def test_the_answers_to_one_question_share_a_group(read):
    other = {"question": "r", "answers": ANSWERS[:1]}
    passage = {"text": "p", "questions": [*MULTIRC["passage"]["questions"], other]}
    nested = read("multirc", {"passage": passage}, MULTIRC)
    flat = read(
        "multirc",
        *({"paragraph": "p", "question": q, "answer": "a", "label": 1} for q in ("q", "q", "r")),
    )

    assert [example.fields["answer"] for example in nested] == ["a", "b", "a", "a", "b"]
    assert [example.label for example in nested] == [1, 0, 1, 1, 0]
    assert [example.line for example in nested] == [1, 1, 1, 2, 2]
    groups = [example.group for example in nested]
    assert groups[0] == groups[1] and groups[3] == groups[4] and len(set(groups)) == 3
    assert [example.group == flat[0].group for example in flat] == [True, True, False]


def test_each_query_of_record_is_an_example_whose_options_are_the_distinct_entities(read):
    flat = {"passage": "Al, Bo Al.", "entities": ["Al", "Bo", "Al"], "answers": ["Bo", "Al", "Bo"]}
    expected = Example(
        {"passage": "Al, Bo Al."}, 1, 1, None, (" Al and Al", " Bo and Bo"), ("Al", "Bo"), (1, 0)
    )

    assert read("record", RECORD) == [expected]
    assert read("record", flat | {"query": QUERY["query"]}) == [expected]
    assert len(read("record", RECORD | {"qas": [QUERY, QUERY]})) == 2


def changed(row, path, value):
    """Returns a copy of the row with one inner value replaced, or taken out for None."""
    row = json.loads(json.dumps(row))
    inner = row
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return row


INNER = ("passage", "questions", 0, "answers", 0)


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        (
            "multirc",
            changed(MULTIRC, ("passage",), 3),
            ": found 3 in 'passage', expected an object",
        ),
        (
            "multirc",
            changed(MULTIRC, ("passage", "questions"), None),
            ": found None in 'passage.questions', expected a list",
        ),
        (
            "multirc",
            changed(MULTIRC, ("passage", "questions", 0), []),
            ": found [] in 'passage.questions[0]', expected an object",
        ),
        (
            "multirc",
            changed(MULTIRC, INNER[:4], {}),
            ": found {} in 'passage.questions[0].answers', expected a list",
        ),
        (
            "multirc",
            changed(MULTIRC, (*INNER, "text"), 7),
            ", passage.questions[0].answers[0]: found 7 in 'answer', expected a string",
        ),
        (
            "multirc",
            changed(MULTIRC, (*INNER, "label"), None),
            ", passage.questions[0].answers[0]: no column for 'label'",
        ),
        (
            "multirc",
            changed(MULTIRC, (*INNER, "label"), 2),
            ", passage.questions[0].answers[0]: found the label 2, expected 0, 1, false, true",
        ),
        ("multirc", changed(MULTIRC, ("passage", "questions"), []), "found no labelled rows"),
        ("wsc", changed(WSC, ("target",), "x"), ": found 'x' in 'target', expected an object"),
        ("wsc", changed(WSC, ("target", "span1_text"), None), ": no column for 'span1_text'"),
        ("wsc", changed(WSC, ("label",), 2), ": found the label 2, expected"),
        (
            "copa",
            {"premise": "p", "choice1": "a", "choice2": "b", "question": "why", "label": 0},
            ": found 'why' in 'question', expected effect or cause",
        ),
        (
            "copa",
            {"premise": "p", "choice1": "a", "question": "cause", "label": 0},
            ": no column for 'choice2'",
        ),
        ("record", {"query": "q"}, ": found None in 'passage', expected an object"),
        (
            "record",
            changed(RECORD, ("passage", "entities"), []),
            ", qas[0]: found no entities, expected at least one",
        ),
        (
            "record",
            changed(RECORD, ("passage", "entities"), None),
            ": found None in 'passage.entities', expected a list",
        ),
        (
            "record",
            changed(RECORD, ("passage", "entities", 1, "end"), 10),
            ": found {'start': 4, 'end': 10} in 'passage.entities[1]', expected start and end "
            "within 10 characters",
        ),
        (
            "record",
            changed(RECORD, ("passage", "entities", 1, "start"), True),
            ": found {'start': True, 'end': 5} in 'passage.entities[1]'",
        ),
        (
            "record",
            changed(RECORD, ("qas", 0, "answers"), []),
            ", qas[0]: found no answers, expected at least one",
        ),
        (
            "record",
            changed(RECORD, ("qas", 0, "answers", 1, "text"), "Cy"),
            ", qas[0]: found the answer 'Cy', expected one of the entities",
        ),
        (
            "record",
            changed(RECORD, ("qas", 0, "answers", 1, "text"), None),
            ", qas[0]: found None in 'answers[1].text', expected a string",
        ),
        (
            "record",
            changed(RECORD, ("qas", 0, "query"), "Who?"),
            ", qas[0]: found the query 'Who?', expected @placeholder in it",
        ),
        (
            "record",
            {"passage": "p", "query": "@placeholder", "entities": "Al", "answers": ["Al"]},
            ": found 'Al' in 'entities', expected a list",
        ),
    ],
)
def test_a_malformed_row_is_told_in_one_line_with_its_place(name, row, message, read, tmp_path):
    with pytest.raises(InputError) as error:
        read(name, row)

    line = "" if message.startswith("found no labelled") else " line 1"
    start = f"{tmp_path / 'data.jsonl'}{line}"
    assert str(error.value).startswith(start + (message if line else ": " + message))
    assert "\n" not in str(error.value) and "; " in str(error.value)


def test_flat_formats_may_be_tsv(tmp_path):
    path = tmp_path / "wsc.tsv"
    path.write_text("text\tspan1_text\tspan2_text\tlabel\nt\tA\tb\t1\n")

    assert read_examples(path, TASKS["wsc"]) == (
        [Example({"text": "t", "span1_text": "A", "span2_text": "b"}, 1, 2)],
        0,
    )
    with pytest.raises(InputError, match="line 1: no column for 'passage'"):
        read_examples(path, TASKS["record"])
