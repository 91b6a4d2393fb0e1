"""Tasks of either style to bundle.json and back, with every entry checked on the way back."""

import dataclasses
import json
import types
from collections.abc import Iterator
from itertools import chain

from .. import contract
from ..errors import InputError
from ..host.typed_json import MistypedError, typed
from .causal import CausalTask, FieldChoice, RowChoice, WordChoice
from .masked import MaskedTask
from .metrics import METRICS
from .rows import LAYOUTS, LAYOUTS_WITH_OPTIONS
from .templates import TRANSFORMS, template_fields, template_tokens
from .text import ANSWERS, EVERYTHING, FORMS, LM, TextTask

LabelledTask = MaskedTask | CausalTask
Task = LabelledTask | TextTask


def to_json(task: Task) -> dict:
    """Returns the task as plain JSON values, for bundle.json."""
    values = dataclasses.asdict(task)
    if isinstance(task, CausalTask):
        values["choice"] = {"kind": task.choice.kind, **values["choice"]}
    return json.loads(json.dumps(values))


def from_json(entry: object, style: str) -> Task:
    """Rebuilds the task of a style from bundle.json.

    Raises:
      InputError: an entry is missing, of another type, or does not go with the others: the file
        may come from anywhere.
    """
    if style not in _STYLES:
        raise _refused(f"found the style {style!r}, expected {' or '.join(_STYLES)}")
    kind, problems = _STYLES[style]
    if style == contract.CAUSAL and isinstance(entry, dict) and "form" in entry:
        kind, problems = TextTask, _text_problems
    try:
        task = typed(kind, entry, "task")
    except MistypedError as error:
        raise _refused(_worded(error)) from error
    problem = next(problems(task), None)
    if problem:
        raise _refused(f"task: {problem}")
    return task


def _refused(problem):
    return InputError(f"bundle.json: {problem}; export the bundle again")


def _worded(error):
    """Says it for people who write a bundle.json, not in Python's names of types."""
    names = {str: "a string", int: "a whole number", bool: "true or false", tuple: "a list"}
    expected = names.get(getattr(error.hint, "__origin__", error.hint), "an object")
    if dataclasses.is_dataclass(error.hint):
        keys = ", ".join(field.name for field in dataclasses.fields(error.hint))
        expected = f"an object of exactly {keys}"
    elif isinstance(error.hint, types.UnionType):
        expected = f"an object whose kind is {', '.join(kind.kind for kind in error.hint.__args__)}"
    value = error.value
    described = f"an object of {list(value)!r}" if isinstance(value, dict) else repr(value)
    return f"{error.place}: found {described[:300]}, expected {expected}"


def _masked_problems(task: MaskedTask) -> Iterator[str]:
    """Yields the reasons why a well-typed masked task cannot be used."""
    kinds = [piece.kind for piece in task.pieces]
    fields = {piece.text for piece in task.pieces if piece.kind == "field"}
    classes = len(task.labels)
    reserve = 0 if task.first_field_reserve is None else task.first_field_reserve
    spelled = set(task.label_aliases.values())
    checks = (
        (set(kinds) <= {"literal", "mask", "field"}, f"piece kinds {kinds!r} hold an unknown one"),
        (kinds.count("mask") == 1, f"found {kinds.count('mask')} masks, expected exactly one"),
        (bool(fields), "found no field, expected at least one"),
        (
            fields == {name for name, columns in task.columns.items() if columns},
            f"columns for {sorted(task.columns)!r}, expected some for each of {sorted(fields)!r}",
        ),
        (bool(task.label_columns), "found no label column, expected at least one"),
        (classes >= 2, f"found {classes} labels, expected at least 2"),
        (len(task.words) == classes, f"found {len(task.words)} words for {classes} labels"),
        (len(set(task.labels)) == classes, f"labels {task.labels!r} are not distinct"),
        (len(set(task.words)) == classes, f"words {task.words!r} are not distinct"),
        (spelled <= set(task.labels), f"label aliases lead to {sorted(spelled)!r}, not all labels"),
        (
            {*chain(*task.label_numbers.values())} <= set(task.labels),
            f"label numbers lead to {task.label_numbers!r}, not all labels",
        ),
        (reserve >= 0, f"found first_field_reserve {reserve}, expected 0 or more"),
    )
    yield from (problem for good, problem in checks if not good)


def _causal_problems(task: CausalTask) -> Iterator[str]:
    """Yields the reasons why a well-typed causal task cannot be used."""
    choice = task.choice
    fields = {name for name, columns in task.columns.items() if columns}
    used = {*template_fields(task.template), *getattr(choice, "fields", ())}
    lone = {"{", "}"} & set(template_tokens(task.template))
    checks = (
        (not lone, f"template {task.template!r} has a brace without its other"),
        (bool(used), "found no field, expected at least one"),
        (
            used == fields == set(task.columns),
            f"columns for {sorted(task.columns)!r}, expected some for each of {sorted(used)!r}",
        ),
        (task.layout in LAYOUTS, f"layout {task.layout!r} is unknown"),
        (
            (task.layout in LAYOUTS_WITH_OPTIONS) == isinstance(choice, RowChoice),
            f"layout {task.layout!r} does not go with a choice of kind {choice.kind!r}",
        ),
        (set(task.transforms) <= fields, f"transforms of {sorted(task.transforms)!r}"),
        (
            set(task.transforms.values()) <= set(TRANSFORMS),
            f"transforms {sorted(task.transforms.values())!r} hold an unknown one",
        ),
        (set(task.values) <= fields, f"values of {sorted(task.values)!r}, not all fields"),
        (set(task.metrics) <= set(METRICS), f"metrics {task.metrics!r} hold an unknown one"),
        (
            len(task.split) in (0, 2) and all(count >= 1 for count in task.split),
            f"split {task.split!r} is not two positive numbers",
        ),
    )
    yield from (problem for good, problem in checks if not good)
    if not isinstance(choice, RowChoice):
        yield from _choice_problems(choice)


def _choice_problems(choice: WordChoice | FieldChoice) -> Iterator[str]:
    """Yields the reasons why options with labels cannot be used."""
    options = choice.words if isinstance(choice, WordChoice) else choice.fields
    labels, spelled = choice.labels, set(choice.label_aliases.values())
    checks = (
        (bool(choice.label_columns), "found no label column, expected at least one"),
        (len(options) >= 2, f"found {len(options)} options, expected at least 2"),
        (len(labels) == len(options), f"{len(options)} options for {len(labels)} labels"),
        (len(set(labels)) == len(labels), f"labels {labels!r} are not distinct"),
        (len(set(options)) == len(options), f"options {options!r} are not distinct"),
        (all(options), f"options {options!r} hold an empty one"),
        (spelled <= set(labels), f"label aliases lead to {sorted(spelled)!r}, not all labels"),
    )
    yield from (problem for good, problem in checks if not good)


def _text_problems(task: TextTask) -> Iterator[str]:
    """Yields the reasons why a well-typed task of learnt text cannot be used."""
    if task.form not in FORMS:
        yield f"form {task.form!r} is unknown"
    if task.learnt not in (ANSWERS, EVERYTHING):
        yield f"learnt {task.learnt!r} is unknown"
    if task.form == LM and task.learnt != EVERYTHING:
        yield f"learnt {task.learnt!r} of plain text, which holds no answers"


# Style -> class of its tasks, and their checks.
_STYLES = {
    contract.MASKED: (MaskedTask, _masked_problems),
    contract.CAUSAL: (CausalTask, _causal_problems),
}
