"""Labels as data files spell them: names, numbers, booleans; and what stood for what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import InputError
from ...tasks.codec import Task
from ...tasks.rows import shown

# What the Hub's data sets hold where nobody could label a row, or a test set hides it.
NO_LABEL = "-1"
_WHOLE = re.compile(r"(-?\d+)\.0+")  # pandas writes so the whole numbers of a column with gaps
_NUMBER = re.compile(r"-?\d+")


@dataclass
class LabelReader:
    """Reads the labels of one file, and remembers what it read.

    Attributes:
      task: gives the classes and their spellings.
      seen: spelling in the file -> class.
      unlabelled: rows of NO_LABEL.
    """

    task: Task
    seen: dict[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    _classes: dict[str, tuple[dict[str, int], dict[str, int]]] = field(default_factory=dict)

    def read(self, where: str, column: str, value: object) -> int | None:
        """Returns the class of a label, None for a row that nobody could label.

        Raises:
          InputError: no class is spelled so.
        """
        if value in self.task.skip_labels:
            return None
        if column not in self._classes:
            self._classes[column] = classes_of(self.task, column)
        exact, folded = self._classes[column]
        spellings = _spellings(value)
        for spelling in spellings:
            place = exact.get(spelling, folded.get(spelling.casefold()))
            if place is not None:
                self.seen[spelling] = place
                return place
        if NO_LABEL in spellings:
            self.unlabelled += 1
            return None
        expected = ", ".join([*self.task.labels, *self.task.label_aliases])
        raise InputError(
            f"{where}: found the label {shown(value)}, expected {expected}; "
            "correct the row or the task"
        )

    def check(self, path) -> None:
        """Raises InputError where rows of -1 are all there is, or where -1 seems to be a class."""
        if self.unlabelled and not self.seen:
            raise InputError(
                f"{path}: found no labelled rows: all {self.unlabelled} have the label {NO_LABEL}, "
                "expected at least one; give a file with labels (published test sets have none)"
            )
        if self.unlabelled and len(self.task.labels) == 2 and len(set(self.seen.values())) == 1:
            raise InputError(
                f"{path}: found the labels {NO_LABEL} and {', '.join(self.seen)} alone, expected "
                f"{' and '.join(self.task.labels)}; {NO_LABEL} stands for no label: write the "
                "labels as the task does, or leave these rows out"
            )

    def meanings(self) -> dict[str, str]:
        """Returns {number in the file: what it was read as}.

        {} where a number can mean one thing alone: it is the label, in the task's only order.
        """
        numbers = sorted(filter(_NUMBER.fullmatch, self.seen), key=int)
        if not self.task.label_numbers:
            numbers = [n for n in numbers if self.task.labels[self.seen[n]] != n]
        return {number: _meaning(self.task, self.seen[number]) for number in numbers}


def classes_of(task: Task, column: str) -> tuple[dict[str, int], dict[str, int]]:
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


def _meaning(task: Task, place: int) -> str:
    """Returns the name of a class: its label, or where this is a number, its word or field."""
    label = task.labels[place]
    if not _NUMBER.fullmatch(label):
        return label
    return (task.words or getattr(getattr(task, "choice", None), "fields", ()))[place].strip()


def _spellings(value: object) -> tuple[str, ...]:
    """Returns the spellings of a label that the data writes as `value`."""
    if isinstance(value, bool):
        return str(value).lower(), str(value)  # JSON's and Python's
    if isinstance(value, float) and value.is_integer():
        return (str(int(value)),)
    if not isinstance(value, (int, str)):
        return ()
    text = str(value)
    whole = _WHOLE.fullmatch(text)
    return (text, whole[1]) if whole else (text,)
