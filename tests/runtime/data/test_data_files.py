"""Data files as people bring them: CSV, quotes, encodings, gzip; and what is no data file."""

import codecs
import csv
import gzip
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocketllm.export.tasks.own_data import text_task
from pocketllm.runtime.data.files import lines
from pocketllm.runtime.data.reader import DataFile, read_examples
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.masked import TASKS

pytest_plugins = ["runtime_fixtures"]

SST2 = TASKS["sst2"]
TEXTS = ['He said "no"', '"quoted"', "plain film", 'a "great" film']


def sentences(path):
    """Returns the sentences of a file, and what was noted of it."""
    file = DataFile(path, SST2)
    return [example.fields["sentence"] for example in file.examples()], file.notes


def written(texts, delimiter="\t", quoting=csv.QUOTE_MINIMAL, end="\n", header=True):
    """Returns a file of Python's csv module: sentence, then the labels 0, 1, 0, …."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    rows = [(text, i % 2) for i, text in enumerate(texts)]
    writer.writerows([("sentence", "label"), *rows] if header else rows)
    return out.getvalue()


# Python 3.11 writes a lone \r without quotes, which its own reader refuses.
ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=20)
TRICKY = st.lists(st.sampled_from(['"', ",", ";", "\t", "\r\n", "\n", "a", " "])).map("".join)


@settings(deadline=None)
@given(
    texts=st.lists(ANY_TEXT | TRICKY, min_size=1, max_size=6),
    delimiter=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le with mark"]),
    zipped=st.booleans(),
)
def test_any_csv_that_python_writes_comes_back(
    texts, delimiter, quoting, end, encoding, zipped, tmp_path_factory
):
    content = written(texts, delimiter, quoting, end)
    data = content.encode(encoding.split()[0])
    data = codecs.BOM_UTF16_LE + data if "mark" in encoding else data
    path = tmp_path_factory.getbasetemp() / ("any.csv.gz" if zipped else "any.csv")
    path.write_bytes(gzip.compress(data) if zipped else data)

    assert sentences(path) == (texts, [])


@settings(deadline=None)
@given(
    texts=st.lists(ANY_TEXT, min_size=1, max_size=6),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    piece=st.integers(1, 40),
)
def test_any_json_array_comes_back_however_it_is_cut(
    texts, indent, ascii_only, piece, tmp_path_factory
):
    path = tmp_path_factory.getbasetemp() / "any.json"
    rows = [{"sentence": text, "label": i % 2} for i, text in enumerate(texts)]
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pocketllm.runtime.data.files.json_rows.CHUNK", piece)
        examples, skipped = read_examples(path, SST2)

    assert ([example.fields["sentence"] for example in examples], skipped) == (texts, 0)
    if indent:  # an object a key and a bracket: four lines
        assert [example.line for example in examples] == [2 + 4 * i for i in range(len(texts))]


@pytest.mark.parametrize(
    ("name", "pack"),
    [("d.tsv", bytes), ("d.tsv.gz", gzip.compress), ("D.TSV", gzip.compress)],
)
def test_compression_is_known_by_the_content(name, pack, write):
    assert sentences(write(pack(b"sentence\tlabel\nfine\t1\n"), name)) == (["fine"], [])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["d.tsv", "d.jsonl", "d.json"])
def test_utf_16_with_a_mark_is_read(encoding, name, write):
    text = "sentence\tlabel\r\nsch\u00f6n \u2028\U0001f600\t1\r\n"
    if name != "d.tsv":
        text = json.dumps(
            {"sentence": "sch\u00f6n \u2028\U0001f600", "label": 1}, ensure_ascii=False
        )
        text = f"[{text}]" if name == "d.json" else text + "\r\n"
    assert sentences(write(("\ufeff" + text).encode(encoding), name))[0] == [
        "sch\u00f6n \u2028\U0001f600"
    ]


def test_quotes_of_a_tsv_belong_to_the_text(write):
    raw = "sentence\tlabel\n" + "".join(f"{text}\t{i % 2}\n" for i, text in enumerate(TEXTS))
    assert sentences(write(raw)) == (TEXTS, [])
    # As in QNLI and MNLI: a quote that opens and none that closes, a pair in the middle.
    for text in ('"Yes," he said', 'the ""best"" film', '"', '"""', 'end"', "''"):
        assert sentences(write(f"sentence\tlabel\n{text}\t1\n")) == ([text], [])


def test_doubled_quotes_that_pandas_wrote_into_a_tsv_are_undone_and_said(write):
    texts, notes = sentences(write(written(TEXTS)))

    assert texts == TEXTS
    assert notes == [
        "doubled quotes read as a CSV's: every cell that holds a quote stands in quotes"
    ]
    # One cell that no such program writes, and no quote of the file is another's.
    mixed = written(TEXTS) + 'said "no"\t1\n'
    assert sentences(write(mixed)) == (
        [*(row.split("\t")[0] for row in mixed.splitlines()[1:])],
        [],
    )


def test_a_tsv_whose_every_text_stands_in_quotes_keeps_them_and_says_so(write):
    path = write('sentence\tlabel\n"fine film"\t1\n"dull film"\t0\n')

    texts, (note,) = sentences(path)

    assert texts == ['"fine film"', '"dull film"']
    assert "quotes, which are kept" in note and "rename the file to .csv" in note


def test_a_csv_tells_a_rows_first_line_and_what_is_wrong_with_its_quotes(write):
    two = 'sentence,label\n"one\nbreak",1\n'
    assert [e.line for e in read_examples(write(two + "x,0\n", "d.csv"), SST2)[0]] == [2, 4]
    for rows, problem in (
        ('"x,1\ny,0\n', "line 4: found a quote that no other closes"),
        ('"x" y,1\n', "line 4: found text behind a closing quote"),
        ("x,y,1\n", "line 4: found 3 columns, expected 2 as in the header; put text that holds co"),
        ("x\n", "line 4: found 1 columns, expected 2"),
        ("x\ry,1\n", "line 4: found a lone \\r outside quotes"),
        ("x,7\n", "line 4: found the label '7', expected 0, 1"),
    ):
        path = write(two + rows, "d.csv")
        with pytest.raises(InputError, match=f"^{re.escape(f'{path} {problem}')}"):
            read_examples(path, SST2)


def test_the_header_of_a_csv_shows_what_separates(write):
    for content, expected in (
        ("sentence;label\na, b;1\n", "a, b"),
        ("label,sentence;x\n1,a;b\n", None),
        ("sep=;\r\nsentence;label\r\na, b;1\r\n", "a, b"),
        ("\nsentence\tlabel\na, b; c\t1\n", "a, b; c"),
        ('"sentence","label"\n"a","1"\n\n', "a"),
        ("sentence,label,,\na,1,,\n", "a"),
        ("sentence|label\na, b; c|1\n", "a, b; c"),
        ('label|sentence\r\n1|"a|b"\r\n', "a|b"),
    ):
        path = write(content, "d.csv")
        if expected is None:
            with pytest.raises(
                InputError, match="no column for 'sentence': found 'label', 'sentence;x'"
            ):
                read_examples(path, SST2)
        else:
            assert sentences(path)[0] == [expected]


def test_a_space_behind_each_separator_of_the_header_is_none_of_the_cells(write):
    spaced = 'sentence, label, idx\na, 1, 0\n" b, c", "0", 1\n'
    texts, (note,) = sentences(write(spaced, "d.csv"))
    assert texts == ["a", " b, c"] and "behind each separator" in note
    assert sentences(write('idx; sentence; label\n0; "a; b"; 1\n', "d.csv"))[0] == ["a; b"]
    # Without such a header white space belongs to the texts, not to the labels.
    for content in ("sentence,label\n a , 1\n", "sentence,label,\n a ,1 ,\n"):
        assert sentences(write(content, "d.csv")) == ([" a "], [])
    assert sentences(write("sentence\tlabel\n a \t 1\n")) == ([" a "], [])


@pytest.mark.parametrize("names", ["Sentence,Label", "SENTENCE,label", "Text , LABEL"])
def test_columns_are_known_in_any_case_where_that_leaves_one(names, write):
    header = [name.strip(" ") if "T " not in name else name for name in names.split(",")]
    row = json.dumps(dict(zip(header, ["a", 1])))
    for content, name in (
        (f"{names}\na,1\n", "d.csv"),
        ("\t".join(header) + "\na\t1\n", "d.tsv"),
        (row, "d.jsonl"),
        (f"[{row}]", "d.json"),
    ):
        assert sentences(write(content, name))[0] == ["a"]
    exact = write("Sentence,sentence,label\nno,a,1\n", "d.csv")
    assert sentences(exact)[0] == ["a"], "a column of the task's own spelling goes before"
    with pytest.raises(InputError, match="no column for 'label': found 'sentence', 'Label', 'LAB"):
        read_examples(write("sentence,Label,LABEL\na,1,0\n", "d.csv"), SST2)


def test_rows_without_a_header_are_named(write):
    trec = TASKS["trec"]
    for content, name in (("0,How far ?\n", "d.csv"), ("NUM\tHow far ?\n", "d.tsv")):
        path = write(content, name)
        with pytest.raises(InputError, match=r"line 1: found \['.*', 'How far \?'\], a row and no"):
            read_examples(path, trec)


def test_columns_are_told_apart_where_two_have_one_name(write):
    path = write("text,label,text\na,1,b\n", "d.csv")
    with pytest.raises(InputError, match="line 1: found the column 'text' twice"):
        read_examples(path, SST2)
    assert sentences(write("sentence,x,x,label\na,1,2,1\n", "d.csv")) == (["a"], [])


def test_rows_of_other_keys_are_read_each_by_its_own_or_named_by_line(write):
    rows = [{"sentence": "a", "label": 1}, {"label": "0", "text": "b"}, {"idx": 3, "label": 1}]
    lines_ = "".join(json.dumps(row) + "\n" for row in rows)

    assert sentences(write(lines_.rsplit("{", 1)[0], "d.jsonl"))[0] == ["a", "b"]
    with pytest.raises(InputError, match="line 3: no column for 'sentence': found 'idx', 'label'"):
        read_examples(write(lines_, "d.jsonl"), SST2)


def test_a_file_that_is_one_endless_line_is_refused_before_it_fills_the_memory(write, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 100)
    path = write("sentence\tlabel\n" + "x" * 200 + "\t1\n")

    with pytest.raises(InputError, match="line 2: found a line of over 0 MB"):
        read_examples(path, SST2)


def test_a_row_of_megabytes_is_read_whole_from_every_format(write):
    text = 'word "and" word ' * 100_000
    task = text_task("{text}{mask}", "0:a,1:b")
    row = {"text": text, "label": 0}
    for name, content in (
        ("d.tsv", f"text\tlabel\n{text}\t0\n"),
        ("d.csv", 'text,label\n"' + text.replace('"', '""') + '",0\n'),
        ("d.jsonl", json.dumps(row)),
        ("d.json", json.dumps([row])),
    ):
        ((example,), _) = read_examples(write(content, name), task)
        assert example.fields["text"] == text
