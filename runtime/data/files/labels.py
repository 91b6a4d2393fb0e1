"""Labels as data files spell them: names, numbers, booleans; and what stood for what."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...errors import InputError
from ...tasks.codec import Task
from ...tasks.rows import shown

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
      unlabelled: spelling of a label that nobody could give -> rows of it.
    """

    task: Task
    seen: dict[str, int] = field(default_factory=dict)
    unlabelled: Counter[str] = field(default_factory=Counter)
    _classes: dict[str, tuple[dict[str, int], dict[str, int]]] = field(default_factory=dict)

    def read(self, where: str, column: str, value: object) -> int | None:
        """Returns the class of a label, None for a row that nobody could label.

        Raises:
          InputError: no class is spelled so.
        """
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
        """Returns what is to be said of the labels that the file lacks; read all rows before.

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
            return []
        shifted = {str(i) for i in range(len(labels) - 1)} == set(self.seen)
        if shifted or len(labels) == 2:
            raise InputError(
                f"{path}: found the labels {_listed([NO_LABEL, *sorted(self.seen)])} alone, "
                f"expected {_listed(labels)}; {NO_LABEL} stands for no label: write the labels as "
                "the task does, or leave these rows out"
            )
        return [f"{NO_LABEL} read as no label, and no row has the label {_listed(absent, 'or')}"]

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
    bare = text.strip()
    whole = _WHOLE.fullmatch(bare)
    number = whole[1] if whole else bare
    return tuple(dict.fromkeys((text, bare, number, *_with_point(number))))


def _with_point(number: str) -> tuple[str, ...]:
    return (f"{number}.0",) if _NUMBER.fullmatch(number) else ()
