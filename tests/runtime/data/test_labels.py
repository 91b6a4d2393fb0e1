"""Labels as published files spell them: names in any case, numbers in their orders, -1 for none."""

import json

import pytest

from pocketllm.export.tasks.own_data import option_text_task, text_task
from pocketllm.runtime.data.reader import DataFile, read_examples
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks import causal, masked

STYLES = {"masked": masked.TASKS, "causal": causal.TASKS}
TREC = masked.TASKS["trec"]
# Order of the classes' numbers: the Hub's, from its data sets' ClassLabel features.
HUB = {
    "snli": ("entailment", "neutral", "contradiction"),
    "mnli": ("entailment", "neutral", "contradiction"),
    "rte": ("entailment", "not_entailment"),
    "cb": ("entailment", "contradiction", "neutral"),
    "sst2": ("negative", "positive"),
    "sst5": ("very negative", "negative", "neutral", "positive", "very positive"),
    "boolq": ("False", "True"),
    "wsc": ("False", "True"),
    "wic": ("False", "True"),
    "multirc": ("False", "True"),
    "copa": ("choice1", "choice2"),
}
TASKS = [(style, name) for style in STYLES for name in STYLES[style] if name in HUB]


@pytest.fixture
def read(tmp_path):
    """Returns what a task reads of rows with these labels: a DataFile, read."""

    def file_of(task, labels, column="label", suffix="jsonl"):
        fields = {
            columns[0]: "cause" if field == "question" else "x"
            for field, columns in task.columns.items()
        }
        rows = [fields | {column: label} for label in labels]
        path = tmp_path / f"data.{suffix}"
        if suffix == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        else:
            lines = [rows[0], *(row.values() for row in rows)]
            path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
        file = DataFile(path, task)
        return [example.label for example in file.examples()], file

    return file_of


@pytest.mark.parametrize(("style", "name"), TASKS)
def test_the_hubs_numbers_are_the_classes_of_its_names_in_every_spelling(style, name, read):
    task, names = STYLES[style][name], HUB[name]
    by_name, _ = read(task, names)
    assert sorted(by_name) == list(range(len(task.labels)))

    for spelled in (str.upper, str.lower, str.title):
        assert read(task, [spelled(n) for n in names])[0] == by_name
    numbers = range(len(names))
    for labels in (numbers, map(str, numbers), map(float, numbers), (f"{n}.0" for n in numbers)):
        assert read(task, list(labels))[0] == by_name
    assert read(task, list(numbers), suffix="tsv")[0] == by_name
    if names[0] == "False":
        assert read(task, [False, True])[0] == by_name


@pytest.mark.parametrize("name", ["snli", "mnli", "rte"])
def test_what_numbers_stand_for_is_said(name, read):
    _, file = read(masked.TASKS[name], range(len(HUB[name])))
    assert file.labels.meanings() == dict(zip("012", HUB[name]))
    _, file = read(masked.TASKS[name], HUB[name])
    assert file.labels.meanings() == {}, "names say it themselves"
    assert read(masked.TASKS["sst2"], [0, 1])[1].labels.meanings() == {}, "the labels themselves"


ORDERS = {
    "label": ("DESC", "ENTY", "ABBR", "HUM", "LOC", "NUM"),  # MeZO's
    "coarse_label": ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
    "label-coarse": ("DESC", "ENTY", "ABBR", "HUM", "NUM", "LOC"),
}


@pytest.mark.parametrize("column", ORDERS)
def test_numbers_of_trec_are_read_in_the_order_of_their_column(column, read):
    by_name, _ = read(TREC, ORDERS[column], column)

    by_number, file = read(TREC, range(6), column)

    assert by_number == by_name
    words = {n: TREC.words[place].strip() for n, place in zip("012345", by_name)}
    assert file.labels.meanings() == words
    assert words["3"] == "Human" and len(set(words.values())) == 6
    long_names = ("Description", "entity", "EXPRESSION", "human", "Location", "Number")
    assert read(TREC, long_names, column)[0] == list(range(6))


def test_the_coarse_column_is_taken_before_one_that_is_called_label(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("text,label,coarse_label,fine_label\nWhat ?,3,0,7\n")

    ((example,), _) = read_examples(path, TREC)

    assert TREC.words[example.label] == " Expression"  # ABBR
    file = DataFile(path, TREC)
    assert list(file.examples()) == [example]
    assert file.notes == ["labels read from 'coarse_label', not from 'label'"]


@pytest.mark.parametrize("other", ["label_coarse", "coarse-label", "Label Coarse"])
def test_a_coarse_column_of_unknown_order_is_not_passed_over_for_fine_labels(other, tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(f"text,label,{other}\nWhat ?,3,0\n")
    with pytest.raises(InputError, match=f"line 2: found the label columns 'label' and '{other}'"):
        read_examples(path, TREC)

    path.write_text("text,label,label_text,label_fine\nWhat ?,3,x,4\n")
    assert read_examples(path, TREC)[0][0].label == 3


def test_rows_labelled_minus_one_are_left_out_and_counted(read):
    for label in (-1, "-1", -1.0):
        labels, file = read(masked.TASKS["snli"], [2, label, "entailment", "-", label, 1])
        assert (labels, file.skipped) == ([0, 1, 2], 3)
    labels, file = read(causal.TASKS["cb"], [0, -1, 2])
    assert (labels, file.skipped) == ([0, 2], 1)
    labels, file = read(text_task("{a}{mask}", "0:x,1:y,2:z"), [0, -1, 2, 1])
    assert (labels, file.skipped, file.notes) == ([0, 2, 1], 1, [])


def test_minus_one_is_a_class_where_the_task_says_so(read):
    labels, file = read(text_task("{a}{mask}", "-1:bad,1:good"), [-1, 1, "-1"])
    assert (labels, file.skipped) == ([0, 1, 0], 0)


def test_a_file_without_any_label_is_told_from_one_that_writes_minus_one_for_a_class(read):
    with pytest.raises(
        InputError, match="all 3 have the label -1, .*published test sets have none"
    ):
        read(masked.TASKS["rte"], [-1, -1, -1])
    with pytest.raises(InputError, match="found the labels -1 and 1 alone, expected 0 and 1"):
        read(masked.TASKS["sst2"], [-1, 1, 1, -1])
    with pytest.raises(InputError, match="all 3 have the label '-' or -1, expected at least one"):
        read(masked.TASKS["snli"], ["-", -1, "-"])
    assert read(masked.TASKS["sst2"], [-1, 1, 0])[0] == [1, 0]


THREE = text_task("{a}{mask}", "0:bad,1:okay,2:good")


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        (THREE, [-1, 0, 1]),
        (THREE, ["1", "-1", "0", "0"]),
        (masked.TASKS["mnli"], [1.0, 0.0, -1.0]),
        (causal.TASKS["cb"], [0, 1, -1]),
        (text_task("{a}{mask}", '{"0.0": "x", "1.0": "y", "2.0": "z"}'), [-1.0, 0.0, 1.0]),
        (masked.TASKS["sst5"], [3, 2, 1, 0, -1]),
        (TREC, [-1, 0, 1, 2, 3, 4]),
    ],
)
def test_numbers_that_are_each_lower_by_one_are_refused(task, labels, read):
    with pytest.raises(InputError, match="found the labels -1, 0.* and .* alone, expected .* and "):
        read(task, labels)


def test_a_small_file_that_lacks_classes_and_has_rows_of_minus_one_is_read_and_says_so(read):
    for labels, absent in (([0, -1], "1 or 2"), ([2, -1, 1], "0"), ([2, -1], "0 or 1")):
        classes, file = read(THREE, labels)
        assert classes == [label for label in labels if label >= 0]
        assert file.notes == [f"-1 read as no label, and no row has the label {absent}"]
    assert read(THREE, [0, 1])[1].notes == [], "no row of -1"
    names, file = read(masked.TASKS["mnli"], ["entailment", "neutral", -1])
    assert names == [1, 2] and "no row has the label contradiction" in file.notes[0]


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        ("0.5:x,1.5:y", [0.5, 1.5, "0.5", " 1.5"]),
        ("1.0:x,2.0:y", [1.0, 2.0, 1, 2, "1.0", "2", " 1.00 ", "2."]),
        ("1:x,2:y", [1.0, 2.0, 1, 2, "1.0", "2", " 1.00 ", "2."]),
        ("neg:x,pos:y", ["neg", "pos ", "\tNEG", " Pos"]),
        ("a :x,a:y", ["a ", "a", "a ", " a"]),
    ],
)
def test_a_label_is_the_same_number_or_word_however_it_is_spelled(labels, rows, read):
    task = text_task("{a}{mask}", json.dumps(dict(part.split(":") for part in labels.split(","))))

    assert read(task, rows)[0] == [i % 2 for i in range(len(rows))]


@pytest.mark.parametrize(
    "label",
    [
        3,
        -2,
        "3",
        0.5,
        None,
        "",
        " ",
        "1.5",
        "entail",
        [0],
        {"0": 1},
        True,
        float("nan"),
        float("inf"),
    ],
)
def test_any_other_label_is_refused_with_its_line_and_what_the_file_had(label, read):
    with pytest.raises(
        InputError, match="line 2: found the label .*, expected contradiction, ent"
    ) as error:
        read(masked.TASKS["mnli"], [0, label])
    assert repr(label)[:40] in str(error.value) and "no labels" not in str(error.value)


def test_labels_that_differ_in_case_alone_stay_two_classes(read):
    task = option_text_task("{a}", "us:country,US:people,It:pronoun")

    assert read(task, ["us", "US", "it", "IT"])[0] == [0, 1, 2, 2]
    with pytest.raises(InputError, match="found the label 'Us'"):
        read(task, ["Us"])
