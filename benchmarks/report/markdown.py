"""Pieces of Markdown."""

import re
from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table; cells are taken as they are."""
    lines = [" | ".join(cells) for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def escaped(text: str) -> str:
    """Returns text that Markdown shows as it is, inside a table too."""
    return re.sub(r"([\\`*|<\[\]])", r"\\\1", " ".join(text.split()))
