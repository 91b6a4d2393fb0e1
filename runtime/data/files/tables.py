"""TSV and CSV files with a header: their rows, cells as text.

In a TSV a line is a row and a tab ends a cell: a quote is a character, as in the published files of
GLUE. In a CSV quotes are those of RFC 4180, and the header shows what stands between cells.
"""

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from ...errors import InputError
from .columns import KINDS, Columns, FileRow, check_header, missing_columns, renamed
from .lines import LONGEST, lines_of, rows_of_text

SEPARATORS = (",", ";", "\t", "|")
SPACED = "the white space behind each separator is none of the text, as in the header"
UNQUOTED = "doubled quotes read as a CSV's: every cell that holds a quote stands in quotes"
KEPT = (
    "every text stands in quotes, which are kept: a TSV has no quoting (rename the file to .csv "
    "to take them off)"
)


def tsv_rows(path: Path, task: Columns, notes: list[str]) -> Iterator[FileRow]:
    """Yields the rows of a .tsv or .txt file.

    Args:
      path: the file.
      task: says which columns it needs.
      notes: gets a sentence on quotes, where there is something to say.

    Raises:
      InputError: a line that is no row.
    """
    lines = rows_of_text(path)
    first = next(lines, None)
    if first is None:
        return
    line, header = first[0], _named(first[1].split("\t"), task)
    check_header(f"{path} line {line}", header, task, "tabs")
    quoting = _quoting(path)
    if quoting:
        notes.append(quoting)
    for line, text in lines:
        cells = text.split("\t")
        if len(cells) != len(header):
            inside = " (a tab or line break in quotes: rename the file to .csv)"
            quotes = inside if '"' in text else ""
            raise InputError(
                f"{path} line {line}: found {len(cells)} columns, expected {len(header)} as in the "
                f"header; remove stray tabs and line breaks{quotes}"
            )
        if quoting == UNQUOTED and '"' in text:
            cells = [cell[1:-1].replace('""', '"') if '"' in cell else cell for cell in cells]
        yield FileRow(dict(zip(header, cells)), line)


def _quoting(path: Path) -> str:
    """Returns what is said of a TSV's quotes: one of UNQUOTED and KEPT, "" for nothing.

    pandas and spreadsheets put a cell that holds a quote in quotes and double those inside. Read
    so is a file in which every cell with a quote has this form, and some has a doubled one.
    """
    doubled = quoted_rows = rows = 0
    for _, text in _rows_after_header(path):
        rows += 1
        if '"' not in text:
            continue
        cells = [cell for cell in text.split("\t") if '"' in cell]
        if not all(map(_is_quoted, cells)):
            return ""
        quoted_rows += 1
        doubled += any('""' in cell[1:-1] for cell in cells)
    if doubled:
        return UNQUOTED
    return KEPT if rows > 1 and quoted_rows == rows else ""


def _rows_after_header(path: Path) -> Iterator[tuple[int, str]]:
    lines = rows_of_text(path)
    next(lines, None)
    return lines


def _is_quoted(cell: str) -> bool:
    whole = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return whole and '"' not in cell[1:-1].replace('""', "")


def csv_rows(path: Path, task: Columns, notes: list[str]) -> Iterator[FileRow]:
    """Yields the rows of a .csv file; the arguments are those of `tsv_rows`.

    Raises:
      InputError: quotes that do not close, or a row of another width than the header.
    """
    lines = (text for _, text in lines_of(path))
    first, skipped = "", 0
    for first in lines:
        if first.strip() and not first.lower().startswith("sep="):
            break
        skipped += 1
    if not first.strip():
        return
    separator, spaced = _separator(first, task)
    if spaced:
        notes.append(SPACED)
    csv.field_size_limit(LONGEST)  # the module's own limit is 131,072 characters
    reader = csv.reader(
        chain([first], lines), delimiter=separator, strict=True, skipinitialspace=spaced
    )
    header = None
    while True:
        line = skipped + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path} line {line}: {_explained(error)}") from error
        if header is None:
            header = _named(cells, task)
            check_header(f"{path} line {line}", header, task, KINDS[separator])
        elif any(cell.strip() for cell in cells) or len(cells) == len(header) > 1:
            if len(cells) != len(header):
                raise InputError(
                    f"{path} line {line}: found {len(cells)} columns, expected {len(header)} as in "
                    f"the header; put text that holds {KINDS[separator]} in quotes"
                )
            yield FileRow(dict(zip(header, cells)), line)


def _separator(first: str, task: Columns) -> tuple[str, bool]:
    """Returns what the header shows, and whether a space stands behind each.

    It is what gives the task's columns, else what gives the most.
    """
    cells = {}
    for separator in SEPARATORS:
        try:
            cells[separator] = next(csv.reader([first], delimiter=separator, strict=True))
        except csv.Error:
            cells[separator] = []
    fitting = [s for s, header in cells.items() if header and _fits(header, task)]
    separator = (fitting or sorted(cells, key=lambda s: -len(cells[s])))[0]
    others = cells[separator][1:]
    return separator, bool(others) and all(name[:1] == " " and name.strip() for name in others)


def _fits(header: list[str], task: Columns) -> bool:
    return not missing_columns(_named([name.strip(' "') for name in header], task), task)


def _named(header: list[str], task: Columns) -> list[str]:
    """Returns the columns, those of the task named as the task names them."""
    names = renamed(header, task)
    return [names.get(name, name) for name in header]


def _explained(error: csv.Error) -> str:
    """Says what is wrong with the quotes of a row."""
    reason = str(error)
    if "end of data" in reason:
        return "found a quote that no other closes, expected two; close it"
    if "expected after" in reason:
        return (
            "found text behind a closing quote, expected the end of the cell; double the quotes "
            "inside a quoted cell"
        )
    if "new-line" in reason:
        return "found a lone \\r outside quotes, expected lines that end in \\n or \\r\\n; convert"
    return f"found no readable row ({reason}), expected CSV; correct it"
