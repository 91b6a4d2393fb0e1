"""What is no data file: named as what lies in its place."""

import gzip
import io
import zipfile

import pytest

from pocketllm.runtime.data.reader import read_examples
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.masked import TASKS

pytest_plugins = ["runtime_fixtures"]

SST2 = TASKS["sst2"]


def zipped(content):
    """Returns a gzip file without the time: it is part of a test's name, which workers compare."""
    return gzip.compress(content, mtime=0)


PARQUET = b"PAR1\x15\x04\x15"


def archive(*names):
    """Returns a zip archive of files; the first is longer than what is read at first."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in names:
            file.writestr(name, "<x/>" * 300)
    return content.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (LFS, "a git-lfs pointer in place of the file, .*run `git lfs pull`"),
        (b"<!DOCTYPE html>\n<html>", "a web page"),
        (b"\n <HTML><head>", "a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "a web page"),
        (PARQUET, "a Parquet file, .*to_json"),
        (b"ARROW1\0\0", "an Arrow file"),
        (b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml", "an Excel workbook"),
        (b"PK\x03\x04" + b"\0" * 26 + b"train.tsv", "a zip archive"),
        (archive("docProps/app.xml", "xl/workbook.xml"), "an Excel workbook, .*save the sheet"),
        (archive("docProps/app.xml", "word/document.xml"), "a Word document"),
        (archive("mimetype", "content.xml"), "a zip archive"),
        (b"<!-- saved -->\n<!doctype html>", "a web page"),
        (b"\n<table><tr><td>a", "a web page"),
        (b"404: Not Found", "an error message of a server in place of the file"),
        (b"Entry not found\n", "an error message of a server"),
        (b"Repository not found", "an error message of a server"),
        (b"Invalid username or password.", "an error message of a server"),
        (b"Access to dataset a/b is restricted. You must be authenticated.", "an error message"),
        (b'{"error":"x","cause_exception":"y"}', "an error message of a server"),
        (b'{"error":"Entry not found"}', "an error message of a server"),
        (b'{\n  "message": "Not Found",\n  "status": "404"\n}\n', "an error message of a server"),
        (b"BZh91AY&SY", "a bzip2 file"),
        (b"\x28\xb5\x2f\xfd\x04", "a Zstandard file"),
        (b"\x80\x04\x95\x10", "a pickle"),
        (b"\xff\xfe\0\0s\0\0\0", "UTF-32 text"),
        (zipped(zipped(b"x")), "a gzip file inside a gzip file"),
        (zipped(LFS), "a git-lfs pointer"),
        (zipped(b"sentence\tlabel\nx\t1\n" * 99)[:-30], "a damaged gzip file"),
        (zipped(b"x" * 9)[:4], "a damaged gzip file"),
        (b"\0\1\2\3" * 50, "a NUL byte, expected text"),
    ],
)
@pytest.mark.parametrize("name", ["d.tsv", "d.csv", "d.jsonl", "d.json"])
def test_what_is_no_data_file_is_named(content, kind, name, write):
    with pytest.raises(InputError, match=f"d\\.{name[2:]}.*: found {kind}") as error:
        read_examples(write(content, name), SST2)

    assert "\n" not in str(error.value) and "; " in str(error.value)


def test_rows_that_read_like_an_error_are_rows(write):
    for content, name, text in (
        ("sentence\tlabel\n404: Not Found\t1\n", "d.tsv", "404: Not Found"),
        ('{"error": "x", "sentence": "a", "label": 1}', "d.jsonl", "a"),
        ('{"message": "x", "sentence": "a", "label": 1}\n' * 20, "d.jsonl", "a"),
    ):
        assert read_examples(write(content, name), SST2)[0][0].fields["sentence"] == text


def test_a_chat_under_a_misspelt_key_is_named_by_its_key(write):
    content = '{"message": [{"role": "user", "content": "Hi"}]}'
    with pytest.raises(InputError, match="line 1: .*found 'message'"):
        read_examples(write(content, "d.jsonl"), SST2)


@pytest.mark.parametrize("name", ["d.tsv", "d.csv", "d.jsonl"])
def test_an_empty_file_a_folder_and_a_file_without_rows_are_named(name, write, tmp_path):
    header = "" if name == "d.jsonl" else "sentence\tlabel\n"
    for content in ("", " \n", header, "\ufeff"):
        with pytest.raises(InputError, match="found no labelled rows"):
            read_examples(write(content, name), SST2)
    with pytest.raises(InputError, match=r"found a directory, .*dataset\.to_json"):
        read_examples(tmp_path, SST2)
