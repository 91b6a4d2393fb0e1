"""Pages keep their size, and their links lead somewhere."""

from pathlib import Path

import pages
import pytest

README = pages.ROOT / "README.md"
MOST_LINES, MOST_COLUMNS = 180, 100
CHECKLISTS = ("adding-a-model", "adding-an-optimizer", "adding-a-task", "porting")
MOST_CHECKLIST_LINES = 10


def test_the_readme_fits_180_lines_of_100_columns():
    lines = README.read_text(encoding="utf-8").splitlines()

    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > MOST_COLUMNS] == []


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name_of)
def test_links_lead_to_files_and_headings(page):
    text = page.read_text(encoding="utf-8")

    assert [link for link in pages.links(text) if problem(page, link)] == []


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name_of)
def test_paths_in_code_spans_are_there(page):
    paths = pages.source_paths(page.read_text(encoding="utf-8"))

    assert [path for path in paths if not any(pages.ROOT.glob(path.rstrip("/")))] == []


def problem(page: Path, link: str) -> bool:
    """Returns whether a link leads nowhere; addresses outside the repository are not followed."""
    if link.startswith(("http:", "https:", "mailto:")):
        return False
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or pages.ROOT not in [target, *target.parents]:
        return True
    return bool(anchor) and anchor not in pages.anchors(target.read_text(encoding="utf-8"))


@pytest.mark.parametrize("link", ["nowhere.md", "README.md#no-such-heading", "[undefined]", "../x"])
def test_a_link_that_leads_nowhere_is_noticed(link):
    assert problem(README, link)


def test_links_are_read_from_text_not_from_code():
    text = "[a](x.md) and [b][one], [c][two]\n\n[one]: y.md#z\n\n`[d](code)`\n"

    assert list(pages.links(text)) == ["x.md", "y.md#z", "[two]"]


@pytest.mark.parametrize("name", CHECKLISTS)
def test_a_checklist_has_at_most_ten_lines_of_100_columns(name):
    text = (pages.ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    title, *lines = [line for line in text.splitlines() if line]

    assert title.startswith("# ")
    assert 3 <= len(lines) <= MOST_CHECKLIST_LINES
    assert [line for line in lines if len(line) > MOST_COLUMNS] == []
