"""From parsed JSON to the type that an annotation names; every value is checked on the way."""

import sys
import types
import typing
from dataclasses import MISSING, fields, is_dataclass

LARGEST = sys.float_info.max


class MistypedError(ValueError):
    """A JSON value has another type than its annotation.

    Attributes:
      place: where it stands, such as "task.words[0]".
      value: what stands there.
      hint: the type it should have.
    """

    def __init__(self, place: str, value: object, hint: typing.Any):
        self.place, self.value, self.hint = place, value, hint
        name = "object" if is_dataclass(hint) else getattr(hint, "__name__", str(hint))
        expected = "list" if name == "tuple" else name
        super().__init__(f"{place or 'the value'} is {_shown(value)}, expected {expected}")


def typed(hint: typing.Any, value: object, place: str = "", further: bool = False) -> typing.Any:
    """Returns a JSON value as the type of an annotation.

    Args:
      hint: str, int, float, bool, dict, list, `tuple[X, ...]`, `tuple[X, Y]`, `dict[str, X]`,
        `X | None`, a dataclass of such fields, or a union of dataclasses that differ in the class
        attribute `kind`, which the object names. A float may be written as a whole number, and
        stays one.
      value: what json.loads returned.
      place: of the value, for error messages.
      further: whether an object may hold keys that its dataclass lacks, and lack fields (or hold
        null for them) that have a default.

    Raises:
      MistypedError: the value, or one inside it, is of another type.
      ValueError: a whole number is larger than any float.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        if types.NoneType in args:
            return None if value is None else typed(args[0], value, place, further)
        named = {kind.kind: kind for kind in args}
        entries = value if isinstance(value, dict) else {}
        kind = entries.get("kind")
        if isinstance(kind, str) and kind in named:
            others = {key: item for key, item in entries.items() if key != "kind"}
            return typed(named[kind], others, place, further)
    if origin is tuple and isinstance(value, list):
        kinds = args[:1] * len(value) if args[-1] is Ellipsis else args
        if len(kinds) == len(value):
            items = enumerate(zip(kinds, value))
            return tuple(typed(kind, item, f"{place}[{i}]", further) for i, (kind, item) in items)
    if origin is dict and isinstance(value, dict):
        items = value.items()
        return {key: typed(args[1], item, f"{place}[{key!r}]", further) for key, item in items}
    if is_dataclass(hint) and isinstance(value, dict):
        if further or value.keys() == {field.name for field in fields(hint)}:
            return _record(hint, value, place, further)
    elif hint is float and type(value) is int:
        if abs(value) > LARGEST:
            raise ValueError(f"{place} is larger than any float")
        return value
    elif type(value) is hint:  # not isinstance: True is an int
        return value
    raise MistypedError(place, value, hint)


def _shown(value):
    """Returns the beginning of a value as Python writes it."""
    try:
        return repr(value)[:300]
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"


def _record(kind, record, place, further):
    """Builds a dataclass from a JSON object whose keys were checked, or may differ (`further`)."""
    values = {}
    for field in fields(kind):
        value = record.get(field.name)
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if further and value is None and has_default:
            continue
        inner = f"{place}.{field.name}".lstrip(".")
        values[field.name] = typed(field.type, value, inner, further)
    return kind(**values)
