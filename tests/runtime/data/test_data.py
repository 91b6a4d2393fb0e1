"""Data files: what is read, byte for byte, and how a bad file is told."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketllm.export.tasks.own_data import text_task
from pocketllm.runtime.data.reader import Example, read_examples
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.masked import TASKS

pytest_plugins = ["runtime_fixtures"]

SST2, MNLI = TASKS["sst2"], TASKS["mnli"]
PAIR = {"premise": "p", "hypothesis": "h"}


def test_tsv_sentences_are_kept_byte_for_byte_with_their_line_numbers(write):
    path = write("sentence\tlabel\nit 's \"good . \t1\n\n  a\u2028b\x85c\x0b\t0")

    assert read_examples(path, SST2) == (
        [
            Example({"sentence": "it 's \"good . "}, 1, 2),
            Example({"sentence": "  a\u2028b\x85c\x0b"}, 0, 4),
        ],
        0,
    )


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(write):
    path = write(b"\xef\xbb\xbflabel\tidx\tsentence\r\n1\t7\tfine \r\n", "DATA.TXT")

    assert read_examples(path, SST2) == ([Example({"sentence": "fine "}, 1, 2)], 0)


@pytest.mark.parametrize(
    ("name", "columns", "values", "fields", "label"),
    [
        ("sst2", "sentence label", "s 1", {"sentence": "s"}, 1),
        ("sst5", "label text", "4 s", {"sentence": "s"}, 4),
        ("snli", "gold_label sentence1 sentence2", "neutral p h", PAIR, 2),
        ("mnli", "i sentence1 sentence2 label1 gold_label", "0 p h neutral contradiction", PAIR, 0),
        ("rte", "index sentence1 sentence2 label", "0 p h not_entailment", PAIR, 1),
        ("rte", "premise hypothesis label idx", "p h entailment 0", PAIR, 0),
        ("trec", "text label", "q 5", {"text": "q"}, 5),
        ("trec", "label sentence", "DESC q", {"text": "q"}, 0),
        ("trec", "label sentence", "ABBR q", {"text": "q"}, 2),
    ],
)
def test_each_task_reads_its_published_columns_from_tsv_and_jsonl(
    name, columns, values, fields, label, write
):
    columns, values = columns.split(), values.split()
    tsv = write("\t".join(columns) + "\n" + "\t".join(values) + "\n")
    jsonl = write(json.dumps(dict(zip(columns, values))) + "\n", "data.jsonl")

    assert read_examples(tsv, TASKS[name]) == ([Example(fields, label, 2)], 0)
    assert read_examples(jsonl, TASKS[name]) == ([Example(fields, label, 1)], 0)


def test_rows_that_nobody_could_label_are_skipped_and_counted(write):
    rows = ["neutral", "-", "entailment", "-"]
    lines = [json.dumps({"sentence1": "p", "sentence2": "h", "gold_label": row}) for row in rows]

    examples, skipped = read_examples(write("\n".join(lines), "snli_1.0_dev.jsonl"), TASKS["snli"])

    assert [(example.label, example.line) for example in examples] == [(2, 1), (1, 3)]
    assert skipped == 2


@pytest.mark.parametrize(
    ("label_words", "value", "label"),
    [
        ("0:a,1:b", 1, 1),
        ("0:a,1:b", "1", 1),
        ("false:a,true:b", True, 1),
        ("False:a,True:b", False, 0),
        ("nein:a,ja:b", "ja", 1),
    ],
)
def test_json_labels_may_be_numbers_strings_or_booleans(label_words, value, label, write):
    task = text_task("{any key}{mask}", label_words)
    path = write(json.dumps({"any key": "t", "label": value}), "data.json")

    assert read_examples(path, task) == ([Example({"any key": "t"}, label, 1)], 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": found no labelled rows, expected at least one"),
        ("\n\r\n", ": found no labelled rows, expected at least one"),
        ("sentence\tlabel\n", ": found no labelled rows, expected at least one"),
        ("a b\tlabel\nx\t1", " line 1: no column for 'sentence': found 'a b', 'label'; expected "),
        ("sentence\nx", " line 1: no column for 'label': found 'sentence'; expected label"),
        ("label\tsentence\tlabel\n1\tx\t0", " line 1: found the column 'label' twice, expected"),
        ("sentence\tlabel\nx\t-1", ": found no labelled rows: all 1 have the label -1, "),
        ("sentence\tlabel\nx\t-1\ny\t1", ": found the labels -1 and 1 alone, expected 0 and 1"),
        ("sentence\tlabel\nx\n", " line 2: found 1 columns, expected 2 as in the header"),
        ("sentence\tlabel\nx\t1\nx\ty\t1", " line 3: found 3 columns, expected 2"),
        ("sentence\tlabel\nx\t2", " line 2: found the label '2', expected 0, 1"),
        ("sentence\tlabel\nx\t1 0", " line 2: found the label '1 0', expected 0, 1"),
        (b"sentence\tlabel\nab\xe9\t1", " line 2: found byte 0xe9 at position 2, expected UTF-8"),
        (b"s\x00e\x00", " line 1: found a NUL byte, expected text; convert the file to UTF-8"),
        ('"sentence"\t"label"\n"x"\t1', " line 1: found the column '\"sentence\"' in quotes"),
        ('sentence\tlabel\n"x\ty"\t1', " line 2: found 3 columns, expected 2 as in the header; "),
        ("sentence,label\nx,1", " line 1: found 'sentence,label', commas in place of tabs; rename"),
        ("a film\t1\nfilm\t0", " line 1: found ['a film', '1'], a row and no header, expected"),
        ('{"sentence": "x", "label": 1}', ' line 1: found \'{"sentence": "x", "label": 1}\', whi'),
        ("sentence\tlabel\rx\t1\r", " line 1: found a lone \\r, expected lines that end in"),
    ],
)
def test_a_bad_tsv_file_is_told_in_one_line_with_file_and_row(content, message, write):
    path = write(content)

    with pytest.raises(InputError) as error:
        read_examples(path, SST2)

    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value) and "; " in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (" \n\t\n", ": found no labelled rows"),
        ('{"sentence": "x", "label": 1}\n[1]', " line 2: found [1], expected a JSON object"),
        ("[\n{}\n]", " line 2: no column for 'label': found none; expected label"),
        (
            '[\n {"sentence": "", "label": 1},\n {]',
            " line 3: found no valid JSON (Expecting property name enclosed",
        ),
        (
            '[{"sentence": "x", "label": 1}',
            " line 1: found the end, expected ','; correct the array",
        ),
        ('[{"sentence": "x", "label": 1}]]', " line 1: found ']', expected the end of the file"),
        ("{\n}", " line 1: found an object on 2 lines, expected an object a line"),
        (
            '{"data": [{"label": 1}]}',
            ": found one object around the rows: the rows stand in 'data', expected an object a",
        ),
        ('{"sentence": 1', " line 1: found no valid JSON (Expecting ',' delimiter at column"),
        ("[" * 100_000, " line 1: found no valid JSON (RecursionError)"),
        ("9" * 5000, " line 1: found no valid JSON (ValueError)"),
        ("{}", " line 1: no column for 'label': found none; expected label"),
        ('{"label": 1, "s": ""}', " line 1: no column for 'sentence': found 'label', 's'; "),
        ('{"label": 1, "sentence": 7}', " line 1: found 7 in 'sentence', expected a string"),
        ('{"label": 1, "sentence": null}', " line 1: found None in 'sentence', expected a string"),
        ('{"label": 1, "sentence": "\\ud800"}', " line 1: found half a surrogate pair in 'sent"),
        ('{"label": null, "sentence": ""}', " line 1: found the label None, expected 0, 1"),
        ('{"label": 0.5, "sentence": ""}', " line 1: found the label 0.5, expected 0, 1"),
        ('{"label": NaN, "sentence": ""}', " line 1: found the label nan, expected 0, 1"),
        ('{"label": true, "sentence": ""}', " line 1: found the label True, expected 0, 1"),
        ('{"label": [1], "sentence": ""}', " line 1: found the label [1], expected 0, 1"),
        (json.dumps({"label": "\n" * 99}), " line 1: found the label '\\n\\n"),
    ],
)
def test_a_bad_jsonl_file_is_told_in_one_line_with_file_and_row(content, message, write):
    path = write(content, "data.jsonl")

    with pytest.raises(InputError) as error:
        read_examples(path, SST2)

    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value) and len(str(error.value)) < len(str(path)) + 200


def test_files_that_cannot_be_read_are_named(tmp_path, write):
    for path, problem in (
        (tmp_path, "found a directory, expected a data file"),
        (tmp_path / "none.tsv", "No such file or directory, expected a data file"),
        (write("x", "data.md"), "found the extension '.md', expected .tsv, .txt, .csv, .jsonl"),
        (write("x", "data"), "found the extension '', expected .tsv"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {problem}')}"):
            read_examples(path, SST2)


def test_a_file_of_skipped_rows_only_is_empty(write):
    path = write("sentence1\tsentence2\tgold_label\np\th\t-\n")

    with pytest.raises(InputError, match="found no labelled rows"):
        read_examples(path, MNLI)


SNIPPETS = [b"sentence\tlabel\n", b"x\t1\n", b'{"sentence": "x", "label": 1}', b"\n", b"\t", b"\r"]
PIECES = st.lists(st.sampled_from(SNIPPETS) | st.binary(max_size=3))
BYTES = st.binary(max_size=60) | PIECES.map(b"".join)


@settings(deadline=None)
@given(content=BYTES, suffix=st.sampled_from([".tsv", ".jsonl"]))
def test_any_bytes_give_examples_or_an_input_error_of_one_line(content, suffix, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    try:
        examples, skipped = read_examples(path, SST2)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert examples and skipped == 0
        assert all(
            set(example.fields) == {"sentence"} and example.label in (0, 1) for example in examples
        )


@settings(deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8")), min_size=1))
def test_any_text_comes_back_from_jsonl_and_any_without_tabs_from_tsv(texts, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    (folder / "any.jsonl").write_text(
        "\n".join(json.dumps({"sentence": text, "label": 1}, ensure_ascii=False) for text in texts),
        encoding="utf-8",
        newline="",
    )
    # A NUL byte is none of a text file; all texts in quotes with doubled ones are a CSV's.
    flat = [text.replace("\t", "").replace("\0", "").replace('""', "") for text in texts]
    rows = ["sentence\tlabel", *(f"{text}\t1" for text in flat)]
    (folder / "any.tsv").write_text("\n".join(rows), encoding="utf-8", newline="")

    from_jsonl, _ = read_examples(folder / "any.jsonl", SST2)
    from_tsv, _ = read_examples(folder / "any.tsv", SST2)

    assert [example.fields["sentence"] for example in from_jsonl] == texts
    assert [example.fields["sentence"] for example in from_tsv] == flat
