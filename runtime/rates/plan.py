"""How much is measured before a run: a share of the forward passes that the run itself takes."""

from dataclasses import dataclass

from ..data.dataset import Dataset
from ..errors import InputError
from ..meters.figures import LEAST_PROBES

SHARE = 0.05  # of the run's forward passes that measuring may take
LEAST_ROWS, MOST_ROWS = 8, 64
ENOUGH_PROBES, MOST_PROBES = 8, 32


@dataclass(frozen=True)
class Plan:
    """What is measured, in calls of a forward signature.

    Attributes:
      rows: examples.
      probes: directions.
      calls: that the measurement takes.
      run_calls: that the run's steps take.
    """

    rows: int
    probes: int
    calls: int
    run_calls: int

    @property
    def share(self) -> float:
        """The measurement's share of the run."""
        return self.calls / self.run_calls


def check_enough(data: Dataset, flag: str) -> None:
    """Raises InputError for a data set with fewer rows than are measured."""
    if len(data.examples) < LEAST_ROWS:
        raise InputError(
            f"{data.path}: {len(data.examples)} examples are fewer than the {LEAST_ROWS} that "
            f"{flag}=auto measures; give {flag} a number, or more examples"
        )


def plan_of(examples: int, batch_rows: int, run_calls: int, *, sizes: int = 1) -> Plan:
    """Returns the rows and directions that SHARE of a run allows, or the least that say anything.

    More rows are taken only where ENOUGH_PROBES directions remain: an error of the curvature is an
    error of the learning rate.

    Args:
      examples: of the data set, LEAST_ROWS or more.
      batch_rows: rows of a forward signature.
      run_calls: that the run's steps take.
      sizes: number of sizes of the probe that are tried.
    """
    allowed = int(SHARE * run_calls)

    def probes_of(batches):
        return (allowed // batches - 1) // (2 * sizes)

    batches = -(-LEAST_ROWS // batch_rows)
    most = min(examples, MOST_ROWS)
    while 2 * batches * batch_rows <= most and probes_of(2 * batches) >= ENOUGH_PROBES:
        batches *= 2
    probes = max(LEAST_PROBES, min(probes_of(batches), MOST_PROBES))
    rows = min(batches * batch_rows, most)
    return Plan(rows, probes, batches * (2 * sizes * probes + 1), run_calls)
