"""Columns of a data file: which one holds what, and what is wrong with a header."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...errors import InputError
from ...tasks.codec import Task
from ...tasks.rows import shown

_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class FileRow:
    """One row of a data file, or one object."""

    values: dict[str, object]  # column -> value
    line: int  # where it begins, from 1


def column_of(where: str, columns: Iterable[str], what: str, accepted: tuple[str, ...]) -> str:
    """Returns the first accepted column that is there.

    Raises:
      InputError: none is.
    """
    for name in accepted:
        if name in columns:
            return name
    names = ", ".join(shown(name) for name in list(columns)[:12]) or "none"
    remedy = "name the column so"
    if what == "label":
        remedy += ", or give a file with labels (published test sets have none)"
    if isinstance(columns, Mapping) and (wrapper := _wrapper(columns)):
        remedy = f"the rows stand in {shown(wrapper)}: give that array alone"
    expected = " or ".join(accepted)
    raise InputError(
        f"{where}: no column for {what!r}: found {names}; expected {expected}; {remedy}"
    )


def check_header(where: str, header: list[str], task: Task, separator: str) -> None:
    """Checks the first line of a TSV or CSV file, so that it is to blame, not a row.

    Args:
      where: file and line, for errors.
      header: its cells.
      task: says which columns it needs.
      separator: what stands between cells, in words.

    Raises:
      InputError: a column is missing, or there twice, or the line is no header.
    """
    needed = _needed(task)
    if missing := missing_columns(header, task):
        _check_first_line(where, header, task, separator)
        column_of(where, header, missing, needed[missing])
    for name in (column_of(where, header, what, accepted) for what, accepted in needed.items()):
        if header.count(name) > 1:
            raise InputError(
                f"{where}: found the column {name!r} twice, expected each once; rename one"
            )


def missing_columns(header: list[str], task: Task) -> str:
    """Returns what the task needs and the header lacks, "" for nothing."""
    lacking = (
        what for what, names in _needed(task).items() if not any(name in header for name in names)
    )
    return next(lacking, "")


def _needed(task: Task) -> dict[str, tuple[str, ...]]:
    return task.columns | ({"label": task.label_columns} if task.label_columns else {})


def _wrapper(values: Mapping[str, object]) -> str:
    """Returns the key of an object that wraps rows: the one that holds a list of objects."""
    return next(
        (
            key
            for key, value in values.items()
            if isinstance(value, list) and value and isinstance(value[0], dict)
        ),
        "",
    )


def _check_first_line(where: str, header: list[str], task: Task, separator: str) -> None:
    """Raises InputError where it is no header of such a file, and says what it is."""
    line = shown(header[0] if len(header) == 1 else header)
    names = ", ".join(accepted[0] for accepted in _needed(task).values())
    if header[0].lstrip()[:1] in ("{", "["):
        raise InputError(
            f"{where}: found {line}, which looks like JSON, expected the columns {names}; "
            "rename the file to .jsonl"
        )
    if any("\r" in name for name in header):
        raise InputError(
            f"{where}: found a lone \\r, expected lines that end in \\n or \\r\\n; convert the file"
        )
    if all(name[:1] == name[-1:] == '"' and len(name) > 1 for name in header):
        raise InputError(
            f"{where}: found the column {shown(header[0])} in quotes, expected {names} without: "
            "quotes of a TSV belong to the text; rename the file to .csv, where they do not"
        )
    others = [sign for sign in ("\t", ",", ";") if sign in header[0]] if len(header) == 1 else []
    if others:
        kind = {"\t": "tabs", ",": "commas", ";": "semicolons"}[others[0]]
        cells = [cell.strip(' "') for cell in header[0].split(others[0])]
        if not missing_columns(cells, task):
            raise InputError(
                f"{where}: found {line}, {kind} in place of {separator}; rename the file to .csv"
            )
    labels = {*task.labels, *task.label_aliases}
    if any(_NUMBER.fullmatch(name) or name in labels for name in header):
        raise InputError(
            f"{where}: found {line}, a row and no header, expected the names of its columns; "
            f"put a first line above it that names them ({names})"
        )
