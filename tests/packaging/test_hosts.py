"""No file of the repository names the host of a package archive: pip and apt know theirs."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# In two halves each, so that this file is one of those that are searched.
HOSTS = tuple(
    first + second
    for first, second in (
        ("debian", ".org"), ("ubuntu", ".com"), ("pypi", ".org"), ("python", "hosted.org"),
        ("pypa", ".io"), ("download.py", "torch.org"), ("ana", "conda.com"), ("ana", "conda.org"),
        ("conda", "-forge.org"), ("npm", "js.org"), ("npm", "js.com"), ("yarn", "pkg.com"),
        ("maven", ".org"), ("maven.goo", "gle.com"), ("maven", ".apache.org"), ("grad", "le.org"),
        ("jcenter.bin", "tray.com"), ("jit", "pack.io"), ("crates", ".io"), ("go", "lang.org"),
        ("ruby", "gems.org"), ("dl.goo", "gle.com"), ("docker", ".io"), ("gh", "cr.io"),
        ("quay", ".io"), ("arch", "linux.org"), ("alpine", "linux.org"), ("fedora", "project.org"),
    )
)  # fmt: skip
PATTERN = re.compile("|".join(map(re.escape, HOSTS)), re.I)
DATA = ("tflite_models/roberta_tokenizer/",)  # a published vocabulary has tokens of such letters


def tracked_files() -> list[str]:
    """Returns the repository's files, those that git is not told of yet too."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("no git here: the copy has no list of its files")
    return done.stdout.splitlines()


def test_the_search_finds_a_host():
    assert PATTERN.search("https://files." + HOSTS[3] + "/packages") and len(HOSTS) > 20


def test_no_file_names_the_host_of_a_package_archive():
    names = tracked_files()
    lines = [
        f"{name}: {match[0]}"
        for name in names
        if not name.startswith(DATA) and (ROOT / name).is_file()
        for match in [PATTERN.search((ROOT / name).read_text(encoding="utf-8", errors="ignore"))]
        if match
    ]

    assert len(names) > 400 and lines == []
