"""Markdown pages of the repository: their commands, links, and headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "tflite_models", "tests/conformance", "examples", ".github")

_INLINE_COMMAND = re.compile(r"`(pocketllm [^`]+)`")
_INLINE_LINK = re.compile(r"\]\(([^)\s]+)\)")
_REFERENCE = re.compile(r"^\[([^\]]+)\]: (\S+)$", re.M)
_REFERENCE_USE = re.compile(r"\[[^\]]+\]\[([^\]]+)\]")
_SOURCE_PATH = re.compile(
    r"`((?:runtime|tflite_models|export|benchmarks|android_harness|federated|tests|examples|docs)/[\w./*-]+)`"
)
_FLAG = re.compile(r"(?<![\w-])--(\w[\w-]*)")


def pages() -> list[Path]:
    """Returns every page: those at the top, and those of FOLDERS."""
    inner = (page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))
    return sorted([*ROOT.glob("*.md"), *inner])


def name_of(page: Path) -> str:
    """Returns a page's path in the repository."""
    return str(page.relative_to(ROOT))


def code_lines(text: str) -> Iterator[str]:
    """Yields the lines of code blocks, fenced or indented by four spaces, continuations joined."""
    fenced, start = False, ""
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            line = f"{start} {line.strip()}".strip()
            start = line[:-1].rstrip() if line.endswith("\\") else ""
            if not start:
                yield line


def commands(text: str) -> Iterator[list[str]]:
    """Yields the words of each command line in code blocks, of `pocketllm` also in prose."""
    for line in code_lines(text):
        line = line.removeprefix("$ ")
        if line.startswith(("pocketllm ", "make ", "python ")):
            yield shlex.split(line, comments=True)
    for line in _INLINE_COMMAND.findall(text):
        if not re.search(r"COMMAND|…|\|", line):
            yield shlex.split(line)


def flags(text: str) -> set[str]:
    """Returns the names of all `--flags` of a page."""
    return set(_FLAG.findall(text))


def links(text: str) -> Iterator[str]:
    """Yields the targets of a page's links; of an undefined reference its name in brackets."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    yield from _INLINE_LINK.findall(text)
    references = dict(_REFERENCE.findall(text))
    yield from references.values()
    for use in _REFERENCE_USE.findall(text):
        if use not in references:
            yield f"[{use}]"


def source_paths(text: str) -> set[str]:
    """Returns the paths of source that a page names in code spans; they may be patterns."""
    return set(_SOURCE_PATH.findall(text))


def anchors(text: str) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub spells them."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
