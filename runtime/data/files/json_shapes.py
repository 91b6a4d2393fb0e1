"""JSON that holds its rows in another form than an object a line or one array: what it is."""

from ...errors import InputError
from ...tasks.rows import shown
from .columns import Columns, accepted_columns, missing_columns, spelled

EXPECTED = "expected an object a line or one array"
# Keys that rows stand under, whatever columns they have.
_USUAL_KEYS = ("data", "rows", "train", "validation", "dev", "test", "examples", "instances")
_RECORDS = "to_json(path, orient='records', lines=True)"


def check_shape(path, value: dict, task: Columns) -> None:
    """Checks the only object of a file.

    Raises:
      InputError: it holds all rows of the file.
    """
    shapes = (_columns, _wrapped, _split, _indexed)
    for shape in shapes if missing_columns(spelled(value, task), task) else shapes[:1]:
        if problem := shape(value, task):
            raise InputError(f"{path}: found {problem[0]}, {EXPECTED}; {problem[1]}")


def _wrapped(value: dict, task: Columns) -> tuple[str, str] | None:
    """Rows as a list under a key, or lists of several splits."""
    rows = {key: row for key, inner in value.items() if (row := _first(inner)) is not None}
    keys = [key for key, row in rows.items() if key in _USUAL_KEYS or _fits(row, task)]
    if not keys:
        return None
    names = " and ".join(map(shown, keys))
    if isinstance(rows[keys[0]].get("row"), dict):
        return (
            f"a page of the Hub's datasets server (its rows stand in {names}, each in 'row')",
            "write each 'row' on a line, or download the data set's own files",
        )
    which = "that array" if len(keys) == 1 else "one of these arrays"
    return f"one object around the rows: the rows stand in {names}", f"give {which} alone"


def _split(value: dict, task: Columns) -> tuple[str, str] | None:
    """What pandas writes with orient='split'."""
    names, rows = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(rows, list):
        return "a table split into 'columns' and 'data'", f"write rows: pandas' {_RECORDS}"
    return None


def _columns(value: dict, task: Columns) -> tuple[str, str] | None:
    """A list for each column, or what pandas writes by default: {index: value} for each."""
    if task.layout != "flat":
        return None
    row = spelled(value, task)
    needed = [next((n for n in names if n in row), "") for names in accepted_columns(task).values()]
    kinds = {type(row.get(name)) for name in needed}
    if kinds == {list}:
        what = "a list for each column"
    elif kinds == {dict}:
        what = "a table by columns ({index: value} for each, pandas' default)"
    else:
        return None
    return what, f"write rows: pandas' DataFrame of it and {_RECORDS}"


def _indexed(value: dict, task: Columns) -> tuple[str, str] | None:
    """What pandas writes with orient='index'."""
    if value and all(isinstance(row, dict) and _fits(row, task) for row in value.values()):
        if _columns(next(iter(value.values())), task):
            return (
                f"a table by columns under each of {', '.join(map(shown, value))}",
                f"write the rows of one: pandas' DataFrame of it and {_RECORDS}",
            )
        return f"an object of rows by key ({shown(next(iter(value)))}, …)", (
            "give the rows alone, one on each line"
        )
    return None


def _first(inner: object) -> dict | None:
    """Returns the first of a list of objects."""
    return inner[0] if isinstance(inner, list) and inner and isinstance(inner[0], dict) else None


def _fits(row: dict, task: Columns) -> bool:
    """Returns whether an object has the task's columns, itself or in 'row'."""
    inner = row.get("row")
    rows = [values for values in (row, inner) if isinstance(values, dict)]
    return any(not missing_columns(spelled(values, task), task) for values in rows)
