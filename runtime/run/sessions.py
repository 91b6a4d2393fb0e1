"""A run's `machine.json`: which machine and engine made which of its steps.

It is no part of `config.json`: another machine may continue the run.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..contract import GAUSSIAN
from ..engine.model import Model
from ..errors import InputError
from ..health.record import RunWarning
from ..host.cpu import describe_machine
from ..host.files import read_json, write_json
from ..host.typed_json import typed
from .optional import passed_over

MACHINE = "machine.json"
OTHER_ENGINE = "other-engine"  # the kind of a warning


@dataclass(frozen=True)
class Session:
    """What made a run's steps, from `first_step` to the next session's.

    Attributes:
      first_step: 1 for the beginning of the run.
      model: preset or checkpoint folder that the bundle was exported from.
      task: the bundle's task.
      engine: interpreter, its version, threads and delegate.
      cpu: the processor's name.
      cores: those that the process may use.
      memory_bytes: of the whole machine, 0 where that is unknown.
      system: kernel and architecture.
      versions: package -> version, Python's among them.
    """

    first_step: int
    model: str
    task: str
    engine: str
    cpu: str
    cores: int
    memory_bytes: int
    system: str
    versions: dict


def record_session(
    folder: Path, first_step: int, model: Model, say: Callable[[str], None] = lambda line: None
) -> None:
    """Writes to a run's `machine.json` that this machine makes its steps from `first_step` on.

    Args:
      folder: the run directory.
      first_step: the next one.
      model: says the bundle and the engine.
      say: told where the file is damaged; it is written anew.

    Raises:
      InputError, RunError: as write_json does.
    """
    session = Session(
        first_step,
        model.bundle.model_name,
        model.bundle.task.name,
        model.engine.describe(),
        **describe_machine(),
    )
    try:
        recorded = read_sessions(folder)
    except InputError as error:
        say(passed_over(error))
        recorded = []
    # A session announced for these steps before never made one.
    sessions = [earlier for earlier in recorded if earlier.first_step < first_step]
    if not sessions or replace(sessions[-1], first_step=first_step) != session:
        sessions.append(session)
    if sessions != recorded:
        write_json(Path(folder) / MACHINE, {"sessions": [asdict(entry) for entry in sessions]})


def read_sessions(folder: Path) -> list[Session]:
    """Reads a run's `machine.json`, in order of steps; empty where there is none.

    Raises:
      InputError: damaged.
    """
    path = Path(folder) / MACHINE
    if not path.exists():
        return []
    sessions = read_json(path, "remove the file: only reports need it").get("sessions")
    try:
        return list(typed(tuple[Session, ...], sessions, "sessions", further=True))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); remove it, only reports need it") from error


def engine_warnings(folder: Path, model: Model, steps: int) -> list[RunWarning]:
    """Returns a warning where another engine made steps of gaussian noise that are done again.

    Args:
      folder: of a journalled run.
      model: does its first `steps` steps again.
      steps: their number.
    """
    if model.bundle.noise["kind"] != GAUSSIAN:
        return []
    try:
        sessions = read_sessions(folder)
    except InputError:  # without the file nothing is known of the engine
        return []
    makers = {entry.engine.split(" ")[0] for entry in sessions if entry.first_step <= steps}
    others = sorted(makers - {model.engine.name})
    if not others:
        return []
    return [
        RunWarning(
            OTHER_ENGINE,
            f"{folder}: the engine {others[0]} made steps of gaussian noise, which "
            f"{model.engine.name} does again with differences of up to 5e-7 a pass; take "
            f"--engine={others[0]} for the same bits",
        )
    ]
