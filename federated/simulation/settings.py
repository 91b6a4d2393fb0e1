"""What the clients of a simulation are: it stands in the run, which never changes it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json, replace_json
from pocketllm.runtime.host.typed_json import typed
from pocketllm.runtime.run.folder import DAMAGED

SIMULATION = "simulation.json"  # in the run directory


@dataclass(frozen=True)
class Simulation:
    """How a data file became clients.

    Attributes:
      clients: their number.
      alpha: of the Dirichlet distribution of their labels, as text; "inf": all the same.
      split_seed: of the draw of their parts.
      data: the file that was cut, for people.
      data_sha256: of its bytes.
    """

    clients: int
    alpha: str
    split_seed: int
    data: str
    data_sha256: str


def check_simulation(folder: Path, simulation: Simulation, steps: int) -> None:
    """Raises InputError where a run was begun with other clients.

    Args:
      folder: the run directory; may not exist yet.
      simulation: of this call.
      steps: that the run holds.
    """
    path = Path(folder) / SIMULATION
    if not path.exists():
        if steps:
            raise InputError(
                f"{path}: not there, and the run holds {steps} steps, of clients that nobody "
                "knows; choose another --run"
            )
        return
    try:
        stored = typed(Simulation, read_json(path, DAMAGED))
    except ValueError as error:
        raise InputError(f"{path}: {error}; {DAMAGED}") from error
    for name in ("clients", "alpha", "split_seed"):
        before, now = getattr(stored, name), getattr(simulation, name)
        if before != now:
            raise InputError(
                f"{folder}: the run was started with --{name}={before}, found --{name}={now}, "
                "which makes other clients; keep it, or choose another --run"
            )
    if stored.data_sha256 != simulation.data_sha256:
        raise InputError(
            f"{folder}: the run was started with --data={stored.data} (sha256 "
            f"{stored.data_sha256[:12]}…), found --data={simulation.data} "
            f"({simulation.data_sha256[:12]}…), another content; keep it, or choose another --run"
        )


def write_simulation(folder: Path, simulation: Simulation) -> None:
    """Writes what a run's clients are, where that is not there yet."""
    if not (path := Path(folder) / SIMULATION).exists():
        replace_json(path, asdict(simulation))
