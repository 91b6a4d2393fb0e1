"""Files of learnt text to rows: JSON, CSV or TSV in the forms of text_forms.py; plain text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..tasks.rows import shown
from ..tasks.text import CHAT, LM, TextTask
from .files.columns import FileRow, FormColumns, spelled
from .files.json_rows import json_rows
from .files.lines import lines_of, open_text, rows_of_text
from .files.tables import csv_rows, tsv_rows
from .files.text_forms import FORMS, TEXT, Messages, form_of, read_row

JSON_FILES, PLAIN_FILES = (".jsonl", ".ndjson", ".json"), (".txt", ".md")
TABLES = {".csv": csv_rows, ".tsv": tsv_rows, ".txt": tsv_rows}
SHOWN_KEYS = 5


@dataclass(frozen=True)
class TextRow:
    """One row: messages of a chat; or a prompt and its completion, or a text, as messages too."""

    messages: Messages
    line: int  # of the file, from 1


@dataclass
class TextFile:
    """A file of learnt text, read row by row; FORMAT.md says how.

    Attributes:
      path: the file.
      task: says which forms its rows may have.
      skipped: 0; every row is learnt, or an error.
      notes: sentences on how the file was read, known once all rows are.
    """

    path: Path
    task: TextTask
    skipped: int = 0
    notes: list[str] = field(default_factory=list)

    def examples(self) -> Iterator[TextRow]:
        """Yields the rows, in file order; a second call reads the file again.

        Raises:
          InputError: the file cannot be read, a row cannot be learnt, or there is none.
        """
        self.notes, count = [], 0
        forms, unread = {}, {}
        for row in self._rows():
            where = f"{self.path} line {row.line}"
            values = {key: value for key, value in row.values.items() if value is not None}
            values = named_row(values, self.task.form)
            form = form_of(where, values, self.task)
            yield TextRow(read_row(where, values, form, self.task), row.line)
            count += 1
            forms[form.note] = None
            for key, value in values.items():
                if value != "" and key not in (*form.keys, *form.further):
                    unread.setdefault(key, row.line)
        self.notes += [note for note in forms if note]
        if unread:
            named = [f"{shown(key)} (line {line})" for key, line in unread.items()]
            more = f" and {len(named) - SHOWN_KEYS} more" * (len(named) > SHOWN_KEYS)
            self.notes.append(f"not read: {', '.join(named[:SHOWN_KEYS])}{more}")
        if not count:
            raise InputError(f"{self.path}: found no rows, expected at least one; check the file")

    def meanings(self) -> dict[str, str]:
        """Returns what was read of labels: there are none."""
        return {}

    def _rows(self) -> Iterator[FileRow]:
        kind = Path(self.path.name.lower().removesuffix(".gz")).suffix
        if self.task.form == LM and kind in PLAIN_FILES:
            self.notes.append("read as one text")
            text = "".join(text for _, text in lines_of(self.path)).replace("\r\n", "\n")
            return iter([FileRow({TEXT: text}, 1)])
        if kind in JSON_FILES:
            return self._json()
        if kind in TABLES or self.path.is_dir():
            return self._table(kind if kind in TABLES else ".tsv")  # which refuses a folder
        expected = ", ".join(dict.fromkeys((*JSON_FILES, *TABLES)))
        raise InputError(
            f"{self.path}: found the extension {kind!r}, expected {expected}; convert or rename "
            "the file"
        )

    def _json(self) -> Iterator[FileRow]:
        with open_text(self.path) as read:
            if read(64).lstrip()[:1] == "[":
                self.notes.append("a JSON array, an object a row")
        return json_rows(self.path, columns_of(self.task.form)[0], self.notes)

    def _table(self, kind: str) -> Iterator[FileRow]:
        """Reads a table in the form whose columns its first line names."""
        first = next(rows_of_text(self.path), (1, ""))[1]
        names = {cell.strip(" \"'").casefold() for cell in re.split(r"[,;\t|]", first)}
        forms = columns_of(self.task.form)
        fitting = [form for form in forms if set(form.columns) <= names]
        self.notes.append(f"a {kind.removeprefix('.').upper()} file, a line a row")
        flat = [form for form, way in zip(forms, FORMS[self.task.form]) if not way.is_nested]
        return TABLES[kind](self.path, (fitting or flat)[0], self.notes)


def columns_of(form: str) -> list[FormColumns]:
    """Returns the columns of each way to write rows of a form."""
    # Messages are lists: a row of lists is no file that is written column by column.
    layout = "nested" if form == CHAT else "flat"
    columns = ({key: (key,) for key in way.keys} for way in FORMS[form])
    return [FormColumns(accepted, layout, form) for accepted in columns]


def named_row(values: dict[str, object], form: str) -> dict[str, object]:
    """Returns a row whose keys spell those of a form in another case, with the form's own."""
    if any(way.fits(values) for way in FORMS[form]):
        return values
    named = ((columns, spelled(values, columns)) for columns in columns_of(form))
    return next((row for columns, row in named if set(columns.columns) <= set(row)), values)
