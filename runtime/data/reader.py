"""Data files to examples: TSV with a header row, or JSONL in the task's own published format."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..tasks.codec import Task
from ..tasks.rows import LAYOUTS, Part, shown, text_of


@dataclass(frozen=True)
class Example:
    """One labelled row, or one question of a nested row."""

    fields: dict[str, str]  # the task's field -> text, byte for byte as in the file
    label: int  # index into the task's labels; for rows with options, of the option to train on
    line: int  # of the file, from 1
    group: str | None = None  # shared by the answers to one question
    options: tuple[str, ...] = ()  # what may follow the prompt, where the row brings it
    answers: tuple[str, ...] = ()  # what each of these options answers
    golds: tuple[int, ...] = ()  # right options, where there may be several


@dataclass(frozen=True)
class _Row:
    values: dict[str, object]  # column -> value
    line: int


def read_examples(path, task: Task) -> tuple[list[Example], int]:
    """Reads all rows of a .tsv, .txt, .jsonl or .json file.

    Returns:
      The examples in file order, and how many rows were left out because nobody could label them
      (the "-" of SNLI and MNLI).
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: found a directory, expected a data file; name the file in it")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: found the extension {path.suffix!r}, expected {', '.join(_READERS)}; "
            "convert or rename the file"
        )
    try:
        with open(path, "rb") as file:
            return _examples(path, reader(path, _lines(path, file), task), task)
    except OSError as error:
        reason = f"{path}: {error.strerror}, expected a data file; check the path"
        raise InputError(reason) from error


def _lines(path: Path, file) -> Iterator[tuple[int, str]]:
    """Yields the number and text of each line that is not blank.

    Lines end with \\n or \\r\\n and nothing else: str.splitlines would also split at U+2028.
    """
    for number, raw in enumerate(file, 1):
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} line {number}: found byte 0x{raw[error.start]:02x} at position "
                f"{error.start}, expected UTF-8; convert the file"
            ) from error
        text = text.removesuffix("\n").removesuffix("\r")
        if text.strip(" "):
            yield number, text


def _tsv_rows(path: Path, lines: Iterator[tuple[int, str]], task) -> Iterator[_Row]:
    first = next(lines, None)
    if first is None:
        raise _no_rows(path)
    line, header = first[0], first[1].split("\t")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise InputError(
            f"{path} line {line}: found the column {twice[0]!r} twice, expected each once; "
            "rename one"
        )
    labels = (("label", task.label_columns),) if task.label_columns else ()
    for what, accepted in (*task.columns.items(), *labels):
        # Here, so that the header is to blame, not a row.
        _column(f"{path} line {line}", header, what, accepted)
    for line, text in lines:
        cells = text.split("\t")  # no quoting: a quote is a character of the sentence
        if len(cells) != len(header):
            raise InputError(
                f"{path} line {line}: found {len(cells)} columns, expected {len(header)} as in the "
                "header; remove stray tabs and line breaks"
            )
        yield _Row(dict(zip(header, cells)), line)


def _json_rows(path: Path, lines: Iterator[tuple[int, str]], task) -> Iterator[_Row]:
    for line, text in lines:
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError alone: a number too long
            known = isinstance(error, json.JSONDecodeError)
            reason = f"{error.msg} at column {error.colno}" if known else type(error).__name__
            raise InputError(
                f"{path} line {line}: found no valid JSON ({reason}), expected one object a line; "
                "correct the line"
            ) from error
        if not isinstance(values, dict):
            raise InputError(
                f"{path} line {line}: found {shown(values)}, expected a JSON object; "
                "put one object on each line"
            )
        yield _Row(values, line)


_READERS = {".tsv": _tsv_rows, ".txt": _tsv_rows, ".jsonl": _json_rows, ".json": _json_rows}


def _examples(path: Path, rows: Iterator[_Row], task) -> tuple[list[Example], int]:
    classes = {label: i for i, label in enumerate(task.labels)}
    classes = {alias: classes[label] for alias, label in task.label_aliases.items()} | classes
    layout = LAYOUTS[task.layout]
    examples, skipped = [], 0
    for row in rows:
        for part in layout(f"{path} line {row.line}", row.values):
            example = _example(part, row.line, task, classes)
            if example is None:
                skipped += 1
            else:
                examples.append(example)
    if not examples:
        raise _no_rows(path)
    return examples, skipped


def _example(part: Part, line: int, task: Task, classes: dict) -> Example | None:
    """Returns the labelled example, None for a row that nobody could label."""
    where = part.where
    if part.golds:
        label = part.golds[0]
    else:
        value = part.values[_column(where, part.values, "label", task.label_columns)]
        if value in task.skip_labels:
            return None
        label = _label(where, value, classes)
    fields = {}
    for name, accepted in task.columns.items():
        column = _column(where, part.values, name, accepted)
        fields[name] = text_of(where, column, part.values[column])
        known = task.values.get(name)
        if known and fields[name] not in known:
            raise InputError(
                f"{where}: found {shown(fields[name])} in {column!r}, expected "
                f"{' or '.join(known)}; correct the row"
            )
    return Example(fields, label, line, part.group, part.options, part.answers, part.golds)


def _column(where: str, columns, what: str, accepted: tuple[str, ...]) -> str:
    for name in accepted:
        if name in columns:
            return name
    names = ", ".join(shown(name) for name in list(columns)[:12]) or "none"
    remedy = "name the column so"
    if what == "label":
        remedy += ", or give a file with labels (published test sets have none)"
    expected = " or ".join(accepted)
    raise InputError(
        f"{where}: no column for {what!r}: found {names}; expected {expected}; {remedy}"
    )


def _label(where: str, value: object, classes: dict[str, int]) -> int:
    for spelling in _spellings(value):
        if spelling in classes:
            return classes[spelling]
    hidden = "; the file has no labels" if str(value).strip() == "-1" else ""
    raise InputError(
        f"{where}: found the label {shown(value)}, expected {', '.join(classes)}; "
        f"correct the row or the task{hidden}"
    )


def _spellings(value: object) -> tuple[str, ...]:
    """Returns the spellings of a label that the data writes as `value`."""
    if isinstance(value, bool):
        return str(value).lower(), str(value)  # JSON's and Python's
    if isinstance(value, (int, str)):
        text = str(value)
        return (text, text.capitalize()) if text in ("TRUE", "FALSE") else (text,)
    return ()


def _no_rows(path: Path) -> InputError:
    return InputError(f"{path}: found no labelled rows, expected at least one; check the file")
