"""LICENSE and DATA_LICENSES.md: every data file is listed with its source and licence."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from rooms import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
# Code, prose and markers: what is left is data.
NO_DATA = {".py", ".pyc", ".md", ".typed", ".sh", ".cpp", ".h"}
CODE = {"CMakeLists.txt"}
WIC_ROWS = ("benchmarks/reproduce/wic_rows.jsonl", "tests/golden/superglue/wic.jsonl")


def listed_patterns() -> list[str]:
    """Returns the paths in the first column of both tables; a bare name lies beside the first."""
    patterns = []
    for line in (ROOT / "DATA_LICENSES.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("| `"):
            continue
        row = re.findall(r"`([^`]+)`", line.split("|")[1])
        folder = row[0].rpartition("/")[0]
        patterns += [path if "/" in path else f"{folder}/{path}" for path in row]
        if "other JSON files" in line:
            patterns.append(f"{folder}/*.json")
    return patterns


def data_files() -> list[str]:
    """Returns the data files of the packages and of the tests."""
    folders = [ROOT / package for package in PACKAGES]
    folders += [ROOT / "tests" / "golden", ROOT / "tests" / "conformance"]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files = [path for path in paths if path.suffix not in NO_DATA and path.name not in CODE]
    return [str(path.relative_to(ROOT)) for path in files]


def test_every_data_file_is_listed_with_its_licence():
    patterns, files = listed_patterns(), data_files()
    unlisted = [
        path
        for path in files
        if not any(fnmatch(path, p) or (p.endswith("/") and path.startswith(p)) for p in patterns)
    ]

    assert "benchmarks/reproduce/wic_rows.jsonl" in files and unlisted == []


def test_every_listed_path_exists():
    missing = [pattern for pattern in listed_patterns() if not list(ROOT.glob(pattern.rstrip("/")))]

    assert len(listed_patterns()) > 20 and missing == []


@pytest.mark.parametrize("path", WIC_ROWS)
def test_our_rows_in_the_format_of_wic_mark_the_word(path):
    rows = [json.loads(line) for line in (ROOT / path).read_text(encoding="utf-8").splitlines()]
    assert len(rows) == (80 if "benchmarks" in path else 20)
    for number, row in enumerate(rows):
        assert row["idx"] == number and isinstance(row["label"], bool)
        for side in "12":
            marked = row[f"sentence{side}"][row[f"start{side}"] : row[f"end{side}"]]
            # "taught" is a form of "teach": the first letter is what all forms share
            assert marked.isalpha() and marked[0].lower() == row["word"][0]


def test_the_licence_is_apache_2():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")

    assert "Apache License" in text and "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
