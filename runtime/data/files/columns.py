"""Columns of a data file: which one holds what, and what is wrong with a header."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ...errors import InputError
from ...tasks.codec import LabelledTask
from ...tasks.rows import shown
from ...tasks.text import CHAT, SFT
from .text_forms import no_form, task_remedy

KINDS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "pipes"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class FormColumns:
    """The columns of a form of learnt text, as what reads tables knows those of a task."""

    columns: dict[str, tuple[str, ...]]
    layout: str
    form: str = ""  # one of FORMS, for a table's first line
    label_columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    label_aliases: dict[str, str] = field(default_factory=dict)


Columns = LabelledTask | FormColumns


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
        remedy = f"the rows stand in {shown(wrapper)}: give that alone"
    remedy = task_remedy(columns, (SFT, CHAT)) or remedy
    expected = " or ".join(accepted)
    raise InputError(
        f"{where}: no column for {what!r}: found {names}; expected {expected}; {remedy}"
    )


def label_column_of(where: str, columns: Iterable[str], accepted: tuple[str, ...]) -> str:
    """Returns the column of the labels.

    Raises:
      InputError: none is there, or beside `label` stands one that spells a better one otherwise,
        as SetFit's label_coarse of TREC: its order of numbers is not known, and `label` is of
        other classes.
    """
    column = column_of(where, columns, "label", accepted)
    if column == accepted[-1] and len(accepted) > 1:
        better = {_words_of(name): name for name in accepted[:-1]}
        for name in columns:
            if known := better.get(_words_of(name)):
                raise InputError(
                    f"{where}: found the label columns {column!r} and {name!r}, expected one of "
                    f"{', '.join(accepted)}; remove one, or rename {name!r} to {known!r} if its "
                    "numbers have that order"
                )
    return column


def spelled(row: dict[str, object], task: Columns) -> dict[str, object]:
    """Returns a row with the task's columns named as the task names them."""
    names = renamed(row, task)
    return {names.get(name, name): value for name, value in row.items()} if names else row


def renamed(columns: Iterable[str], task: Columns) -> dict[str, str]:
    """Returns {column: the name that it spells in another case or with spaces around}.

    There are those that the task needs and that no column spells as it does, and one does so.
    """
    names, columns = {}, list(columns)
    for accepted in accepted_columns(task).values():
        if any(name in columns for name in accepted):
            continue
        for name in accepted:
            same = [column for column in columns if _bare(column) == _bare(name)]
            if same:
                names |= {same[0]: name} if len(same) == 1 else {}
                break
    return names


def check_header(where: str, header: list[str], task: Columns, separator: str) -> None:
    """Checks the first line of a TSV or CSV file, so that it is to blame, not a row.

    Args:
      where: file and line, for errors.
      header: its cells.
      task: says which columns it needs.
      separator: what stands between cells, in words.

    Raises:
      InputError: a column is missing, or there twice, or the line is no header.
    """
    needed = accepted_columns(task)
    if missing := missing_columns(header, task):
        _check_first_line(where, header, task, separator)
        if isinstance(task, FormColumns):
            raise no_form(where, header, task.form, of_table=True)
        column_of(where, header, missing, needed[missing])
    for name in (column_of(where, header, what, accepted) for what, accepted in needed.items()):
        if header.count(name) > 1:
            raise InputError(
                f"{where}: found the column {name!r} twice, expected each once; rename one"
            )


def missing_columns(header: Iterable[str], task: Columns) -> str:
    """Returns what the task needs and the header lacks, "" for nothing."""
    lacking = (
        what
        for what, names in accepted_columns(task).items()
        if not any(name in header for name in names)
    )
    return next(lacking, "")


def accepted_columns(task: Columns) -> dict[str, tuple[str, ...]]:
    """Returns {field, or "label": the columns that it may stand in, the first that is there}."""
    return task.columns | ({"label": task.label_columns} if task.label_columns else {})


@lru_cache(maxsize=1024)
def _words_of(column: str) -> frozenset[str]:
    return frozenset(re.split(r"[\W_]+", column.casefold()))


def _bare(column: str) -> str:
    return column.strip().casefold()


def _wrapper(values: Mapping[str, object]) -> str:
    """Returns the key of an object that wraps rows: a list of objects, or an object 'row'."""
    if isinstance(values.get("row"), dict):
        return "row"
    return next(
        (
            key
            for key, value in values.items()
            if isinstance(value, list) and value and isinstance(value[0], dict)
        ),
        "",
    )


def _check_first_line(where: str, header: list[str], task: Columns, separator: str) -> None:
    """Raises InputError where it is no header of such a file, and says what it is."""
    line = shown(header[0] if len(header) == 1 else header)
    names = ", ".join(accepted[0] for accepted in accepted_columns(task).values())
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
    others = [sign for sign in KINDS if sign in header[0]] if len(header) == 1 else []
    if others:
        kind = KINDS[others[0]]
        cells = [cell.strip(' "') for cell in header[0].split(others[0])]
        if not missing_columns([*cells, *renamed(cells, task).values()], task):
            raise InputError(
                f"{where}: found {line}, {kind} in place of {separator}; rename the file to .csv"
            )
    labels = {*task.labels, *task.label_aliases}
    if any(_NUMBER.fullmatch(name) or name in labels for name in header):
        raise InputError(
            f"{where}: found {line}, a row and no header, expected the names of its columns; "
            f"put a first line above it that names them ({names})"
        )
