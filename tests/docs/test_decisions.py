"""Pages of docs/decisions: numbered, indexed, short; the files and tests they name exist."""

import ast
import re
from pathlib import Path

import pages
import pytest

FOLDER = pages.ROOT / "docs" / "decisions"
DECISIONS = sorted(FOLDER.glob("[0-9]*.md"))
MOST_LINES = 34
PARTS = ("**Rule", "**Why", "**Where", "**Dropped when", "**Reconsidered when")
SOURCES = (
    "export", "runtime", "benchmarks", "android_harness", "federated", "tests", "tflite_models",
)  # fmt: skip
_PLACE = re.compile(rf"`((?:{'|'.join((*SOURCES, 'docs'))})/[^`\s]*)`")
_REFERENCE = re.compile(r"docs/decisions/([\w.-]+\.md)")


def missing(place: str) -> bool:
    """Whether a place, `path` or `path::name`, is not in the repository."""
    path, _, name = place.partition("::")
    file = pages.ROOT / path
    if not file.exists():
        return True
    return bool(name) and name not in defined(file)


def defined(file: Path) -> set[str]:
    """Returns the functions and classes at the top of a module."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, kinds)}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_the_files_and_tests_that_a_page_names_exist(page):
    places = _PLACE.findall(page.read_text(encoding="utf-8"))

    assert places, "it says where it is held"
    assert [place for place in places if missing(place)] == []


@pytest.mark.parametrize("place", ["export/nothing.py", "tests/docs/test_decisions.py::nothing"])
def test_a_place_that_does_not_exist_is_noticed(place):
    assert missing(place) and not missing("tests/docs/test_decisions.py::missing")


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_page_is_short_and_says_rule_reason_place_and_end(page):
    text = page.read_text(encoding="utf-8")

    assert len(text.splitlines()) <= MOST_LINES
    assert text.startswith(f"# {page.name[:4]}: ")
    assert [part in text for part in PARTS[:3]] == [True] * 3
    assert any(part in text for part in PARTS[3:])


def test_numbers_have_no_gap_and_the_index_has_every_title():
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    titles = [page.read_text(encoding="utf-8").splitlines()[0] for page in DECISIONS]
    rows = [
        f"| [{page.name[:4]}]({page.name}) | {title.partition(': ')[2]} |"
        for page, title in zip(DECISIONS, titles)
    ]
    index = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()

    assert [line for line in index if line.startswith("| [")] == rows


def test_pages_that_the_code_refers_to_exist():
    files = [path for folder in SOURCES for path in (pages.ROOT / folder).rglob("*.py")]
    references = {
        (path.relative_to(pages.ROOT).as_posix(), name)
        for path in files
        for name in _REFERENCE.findall(path.read_text(encoding="utf-8"))
    }

    assert references, "the search finds references"
    assert [r for r in sorted(references) if not (FOLDER / r[1]).exists()] == []
