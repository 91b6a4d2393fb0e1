"""A run's `warnings.json`: what was found in it that keeps it from working, each kind once."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import InputError
from ..host.files import read_json, replace_json
from ..host.typed_json import typed

WARNINGS = "warnings.json"


@dataclass(frozen=True)
class RunWarning:
    """A reason why a run cannot work as it is.

    Attributes:
      kind: a short name, one warning a kind in a run.
      text: what was measured, and what to do, in one sentence.
    """

    kind: str
    text: str


def read_warnings(folder: Path) -> tuple[RunWarning, ...]:
    """Reads a run's `warnings.json`; none where there is no file.

    Raises:
      InputError: damaged.
    """
    path, remedy = Path(folder) / WARNINGS, "remove the file: only reports need it"
    if not path.exists():
        return ()
    values = read_json(path, remedy).get("warnings")
    try:
        return typed(tuple[RunWarning, ...], values, "warnings", further=True)
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); {remedy}") from error


def write_warnings(folder: Path, warnings: Sequence[RunWarning]) -> None:
    """Writes a run's `warnings.json` where it holds others, or is damaged."""
    path = Path(folder) / WARNINGS
    if warnings or path.exists():
        replace_json(path, {"warnings": [asdict(warning) for warning in warnings]})


def without(warnings: Iterable[RunWarning], kinds: Iterable[str]) -> list[RunWarning]:
    """Returns the warnings of other kinds."""
    dropped = set(kinds)
    return [warning for warning in warnings if warning.kind not in dropped]
