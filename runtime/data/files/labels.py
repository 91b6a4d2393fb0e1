"""Labels as data files spell them: names, numbers, booleans; and what stood for what."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import InputError
from ...tasks.codec import LabelledTask
from ...tasks.rows import shown
from .columns import label_column_of

# What the Hub's data sets hold where nobody could label a row, or a test set hides it.
NO_LABEL = "-1"
_WHOLE = re.compile(r"(-?\d+)\.0*")  # pandas writes so the whole numbers of a column with gaps
_NUMBER = re.compile(r"-?\d+")


@dataclass
class LabelReader:
    """Reads the labels of one file, and remembers what it read.

    Attributes:
      task: gives the classes and their spellings.
      seen: spelling in the file -> class.
      notes: what was chosen between, each sentence once.
      unlabelled: spelling of a label that nobody could give -> rows of it.
    """

    task: LabelledTask
    seen: dict[str, int] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    unlabelled: Counter[str] = field(default_factory=Counter)
    _classes: dict[str, tuple[dict[str, int], dict[str, int]]] = field(default_factory=dict)

    def read(self, where: str, row: Mapping[str, object]) -> int | None:
        """Returns the class of a row, None for one that nobody could label.

        Raises:
          InputError: there is no label, or no class is spelled so.
        """
        accepted = self.task.label_columns
        column = label_column_of(where, row, accepted)
        if others := [name for name in accepted if name in row and name != column]:
            self.notes[f"labels read from {column!r}, not from {_listed([*map(repr, others)])}"] = (
                None
            )
        value = row[column]
        spellings = _spellings(value)
        for spelling in spellings:
            if spelling in self.task.skip_labels:
                self.unlabelled[spelling] += 1
                return None
        if column not in self._classes:
            self._classes[column] = classes_of(self.task, column)
        exact, folded = self._classes[column]
        for spelling in spellings:
            place = exact.get(spelling, folded.get(spelling.casefold()))
            if place is not None:
                self.seen[spelling] = place
                return place
        if NO_LABEL in spellings:
            self.unlabelled[NO_LABEL] += 1
            return None
        expected = ", ".join([*self.task.labels, *self.task.label_aliases])
        raise InputError(
            f"{where}: found the label {shown(value)}, expected {expected}; "
            "correct the row or the task"
        )

    def check(self, path) -> list[str]:
        """Returns what is to be said of the file's labels; read all rows before.

        Raises:
          InputError: no row has a label, or -1 seems to be a class: the file's numbers are one
            lower than the task's, or of two classes it has one.
        """
        labels = self.task.labels
        if self.unlabelled and not self.seen:
            spelled = " or ".join(map(repr, self.unlabelled)).replace(repr(NO_LABEL), NO_LABEL)
            raise InputError(
                f"{path}: found no labelled rows: all {self.unlabelled.total()} have the label "
                f"{spelled}, expected at least one; give a file with labels (published test sets "
                "have none)"
            )
        absent = [label for i, label in enumerate(labels) if i not in self.seen.values()]
        if NO_LABEL not in self.unlabelled or not absent:
            return [*self.notes]
        shifted = {str(i) for i in range(len(labels) - 1)} == set(map(_whole, self.seen))
        if shifted or len(labels) == 2:
            raise InputError(
                f"{path}: found the labels {_listed([NO_LABEL, *sorted(self.seen)])} alone, "
                f"expected {_listed(labels)}; {NO_LABEL} stands for no label: write the labels as "
                "the task does, or leave these rows out"
            )
        lacking = f"{NO_LABEL} read as no label, and no row has the label {_listed(absent, 'or')}"
        return [*self.notes, lacking]

    def meanings(self) -> dict[str, str]:
        """Returns {number in the file: what it was read as}.

        {} where a number can mean one thing alone: it is the label, in the task's only order.
        """
        numbers = sorted(filter(_NUMBER.fullmatch, self.seen), key=int)
        if not self.task.label_numbers:
            numbers = [n for n in numbers if self.task.labels[self.seen[n]] != n]
        return {number: _meaning(self.task, self.seen[number]) for number in numbers}


def classes_of(task: LabelledTask, column: str) -> tuple[dict[str, int], dict[str, int]]:
    """Returns {spelling: class} of a label column: as written, and without regard to case.

    The numbers of that column go before the labels, these before aliases. Without regard to case
    there are those spellings that leave one class.
    """
    places: Mapping[str, int] = {label: i for i, label in enumerate(task.labels)}
    aliases = {alias: places[label] for alias, label in task.label_aliases.items()}
    numbers = {str(i): places[n] for i, n in enumerate(task.label_numbers.get(column, ()))}
    exact = aliases | places | numbers
    folded: dict[str, set[int]] = {}
    for spelling, place in exact.items():
        folded.setdefault(spelling.casefold(), set()).add(place)
    return exact, {name: min(some) for name, some in folded.items() if len(some) == 1}


def _meaning(task: LabelledTask, place: int) -> str:
    """Returns the name of a class: its label, or where this is a number, its word or field."""
    label = task.labels[place]
    if not _NUMBER.fullmatch(label):
        return label
    return (task.words or getattr(getattr(task, "choice", None), "fields", ()))[place].strip()


def _listed(names: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _spellings(value: object) -> tuple[str, ...]:
    """Returns the spellings of a label that the data writes as `value`.

    A whole number may be written with a point, white space around text is not part of a label.
    """
    if isinstance(value, bool):
        return str(value).lower(), str(value)  # JSON's and Python's
    if not isinstance(value, (int, float, str)):
        return ()
    if isinstance(value, float) and not math.isfinite(value):
        return ()
    text = str(value)
    number = _whole(text.strip())
    pointed = (f"{number}.0",) if _NUMBER.fullmatch(number) else ()
    return text, text.strip(), number, *pointed


def _whole(text: str) -> str:
    """Returns the text, a whole number without a point."""
    match = _WHOLE.fullmatch(text)
    return match[1] if match else text
