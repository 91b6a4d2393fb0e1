"""A run's `measured.json`: what was measured before its first step, and what was chosen."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..host.files import read_json, replace_json
from ..host.typed_json import typed

MEASURED = "measured.json"


@dataclass(frozen=True)
class Choice:
    """Settings that were measured.

    Attributes:
      chosen: name of a setting -> its value.
      measured: figures, for JSON.
      line: says it once, to people.
      advice: sentences on settings that waste most of the run.
    """

    chosen: dict[str, float]
    measured: dict
    line: str
    advice: tuple[str, ...] = ()

    def summary(self) -> dict:
        """Returns what the file holds."""
        values = {"chosen": self.chosen, "measured": self.measured}
        return {**values, "line": self.line, "advice": list(self.advice)}


def record(folder: Path, choice: Choice) -> None:
    """Writes what a run measured, by rename; before its config.json, with which the run begins."""
    replace_json(Path(folder) / MEASURED, choice.summary())


def read_choice(folder: Path, lr: float | None) -> Choice | None:
    """Reads a run's `measured.json`; None without the file, and where it is not this run's.

    That is one that chose another learning rate: a kill came before its run began.

    Args:
      folder: the run directory.
      lr: the run's learning rate, as its config.json has it.

    Raises:
      InputError: damaged.
    """
    path, remedy = Path(folder) / MEASURED, "remove the file: only reports need it"
    if not path.exists():
        return None
    values = {"line": ""} | read_json(path, remedy)
    try:
        choice = typed(Choice, values, further=True)
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); {remedy}") from error
    return choice if choice.chosen.get("lr", lr) == lr else None


def chosen_before(begun: dict, name: str) -> float:
    """Returns a setting of a run that has begun; 0 where there is none.

    That is no run's, so that one without the setting is refused as a run with another config.
    """
    value = begun.get(name)
    return value if isinstance(value, float) else 0.0
