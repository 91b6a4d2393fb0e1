"""How the C++ program is built: by make and for a phone's image."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("source", ["Makefile", "android_harness/image/native.py"])
def test_no_more_compilers_run_at_once_than_there_are_cores(source):
    """Of `--parallel` alone make takes no bound: a compiler a file, each of up to 340 MB."""
    text = (ROOT / source).read_text(encoding="utf-8")
    jobs = re.findall(r"--parallel\W+([\w.]*)", text)
    assert jobs and set(jobs) <= {"getconf", "str"}, jobs
