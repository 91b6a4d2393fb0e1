"""A run's `measured.json`: what was measured before its first step, and what was chosen."""

from dataclasses import dataclass
from pathlib import Path

from ..host.files import replace_json

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
        return {"chosen": self.chosen, "measured": self.measured, "advice": list(self.advice)}


def record(folder: Path, choice: Choice) -> None:
    """Writes what a run measured, by rename; before its config.json, with which the run begins."""
    replace_json(Path(folder) / MEASURED, choice.summary())


def chosen_before(begun: dict, name: str) -> float:
    """Returns a setting of a run that has begun; 0 where there is none.

    That is no run's, so that one without the setting is refused as a run with another config.
    """
    value = begun.get(name)
    return value if isinstance(value, float) else 0.0
