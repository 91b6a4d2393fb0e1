"""Data files to examples: TSV or CSV with a header, or JSON in the task's own published format."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..tasks.codec import Task
from ..tasks.rows import LAYOUTS, Part, shown, text_of
from .files.columns import FileRow, column_of
from .files.json_rows import json_rows
from .files.labels import NO_LABEL, LabelReader
from .files.tables import csv_rows, tsv_rows

Rows = Callable[[Path, Task, list[str]], Iterator[FileRow]]
# Extension -> what reads it; a .gz behind it says nothing more, the content does.
FORMATS: dict[str, Rows] = {
    ".tsv": tsv_rows,
    ".txt": tsv_rows,
    ".csv": csv_rows,
    ".jsonl": json_rows,
    ".ndjson": json_rows,
    ".json": json_rows,
}


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
class Reading:
    """What a file holds.

    Attributes:
      examples: in file order.
      skipped: rows left out because nobody could label them (-1, and the "-" of SNLI and MNLI).
      labels: number in the file -> what it was read as.
      notes: sentences on how the file was read, where there was a choice.
    """

    examples: list[Example]
    skipped: int
    labels: dict[str, str]
    notes: tuple[str, ...]


def read_file(path: str | Path, task: Task) -> Reading:
    """Reads all rows of a data file; FORMAT.md says how.

    Raises:
      InputError: it cannot be read, or a row does not fit the task.
    """
    path, notes, labels = Path(path), [], LabelReader(task)
    examples, skipped = [], 0
    for example in _examples(path, _reader_of(path)(path, task, notes), task, labels):
        if example is None:
            skipped += 1
        else:
            examples.append(example)
    if not examples:
        hidden = (
            f": all {labels.unlabelled} rows have the label {NO_LABEL}" if labels.unlabelled else ""
        )
        raise InputError(
            f"{path}: found no labelled rows{hidden}, expected at least one; check the file"
            f"{' (published test sets have no labels)' if hidden else ''}"
        )
    labels.check(path)
    return Reading(examples, skipped, labels.meanings(), tuple(notes))


def read_examples(path: str | Path, task: Task) -> tuple[list[Example], int]:
    """Returns (examples, rows skipped) of `read_file`."""
    reading = read_file(path, task)
    return reading.examples, reading.skipped


def _reader_of(path: Path) -> Rows:
    name = path.name.lower().removesuffix(".gz")
    reader = FORMATS.get(Path(name).suffix)
    if reader is None and not path.is_dir():
        raise InputError(
            f"{path}: found the extension {Path(name).suffix!r}, expected {', '.join(FORMATS)}; "
            "convert or rename the file"
        )
    return reader or tsv_rows  # which refuses a folder


def _examples(
    path: Path, rows: Iterator[FileRow], task: Task, labels: LabelReader
) -> Iterator[Example | None]:
    layout = LAYOUTS[task.layout]
    for row in rows:
        for part in layout(f"{path} line {row.line}", row.values):
            yield _example(part, row.line, task, labels)


def _example(part: Part, line: int, task: Task, labels: LabelReader) -> Example | None:
    """Returns the labelled example, None for a row that nobody could label."""
    where = part.where
    if part.golds:
        label = part.golds[0]
    else:
        column = column_of(where, part.values, "label", task.label_columns)
        label = labels.read(where, column, part.values[column])
        if label is None:
            return None
    fields = {}
    for name, accepted in task.columns.items():
        column = column_of(where, part.values, name, accepted)
        fields[name] = text_of(where, column, part.values[column])
        known = task.values.get(name)
        if known and fields[name] not in known:
            raise InputError(
                f"{where}: found {shown(fields[name])} in {column!r}, expected "
                f"{' or '.join(known)}; correct the row"
            )
    return Example(fields, label, line, part.group, part.options, part.answers, part.golds)
