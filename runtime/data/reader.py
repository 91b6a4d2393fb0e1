"""Data files to examples: TSV or CSV with a header, or JSON in the task's own published format."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..tasks.codec import LabelledTask
from ..tasks.rows import LAYOUTS, Part, shown, text_of
from .files.columns import Columns, FileRow, column_of
from .files.json_rows import json_rows
from .files.labels import LabelReader
from .files.tables import csv_rows, tsv_rows

Rows = Callable[[Path, Columns, list[str]], Iterator[FileRow]]
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


@dataclass
class DataFile:
    """A data file, read row by row; FORMAT.md says how.

    Attributes:
      path: the file.
      task: says which columns and labels it has.
      skipped: rows left out because nobody could label them (-1, and the "-" of SNLI and MNLI);
        with the next ones, known once all rows are read.
      labels: what was read of labels.
      notes: sentences on how the file was read, where there was a choice.
    """

    path: Path
    task: LabelledTask
    skipped: int = 0
    labels: LabelReader = field(init=False)
    notes: list[str] = field(default_factory=list)

    def examples(self) -> Iterator[Example]:
        """Yields the examples, in file order; a second call reads the file again.

        Raises:
          InputError: the file cannot be read, a row does not fit the task, or none has a label.
        """
        self.skipped, self.labels, self.notes = 0, LabelReader(self.task), []
        count, layout = 0, LAYOUTS[self.task.layout]
        for row in _reader_of(self.path)(self.path, self.task, self.notes):
            for part in layout(f"{self.path} line {row.line}", row.values):
                example = _example(part, row.line, self.task, self.labels)
                if example is None:
                    self.skipped += 1
                else:
                    count += 1
                    yield example
        self.notes += self.labels.check(self.path)
        if not count:
            raise InputError(
                f"{self.path}: found no labelled rows, expected at least one; check the file"
            )

    def meanings(self) -> dict[str, str]:
        """Returns {number in the file: the label that it was read as}."""
        return self.labels.meanings()


def read_examples(path: str | Path, task: LabelledTask) -> tuple[list[Example], int]:
    """Returns all examples of a file, and how many rows nobody could label."""
    file = DataFile(Path(path), task)
    return list(file.examples()), file.skipped


def _reader_of(path: Path) -> Rows:
    name = path.name.lower().removesuffix(".gz")
    reader = FORMATS.get(Path(name).suffix)
    if reader is None and not path.is_dir():
        raise InputError(
            f"{path}: found the extension {Path(name).suffix!r}, expected {', '.join(FORMATS)}; "
            "convert or rename the file"
        )
    return reader or tsv_rows  # which refuses a folder


def _example(part: Part, line: int, task: LabelledTask, labels: LabelReader) -> Example | None:
    """Returns the labelled example, None for a row that nobody could label."""
    where = part.where
    if part.golds:
        label = part.golds[0]
    else:
        label = labels.read(where, part.values)
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
