"""How much is measured before a run: a share of the forward passes that the run itself takes."""

from dataclasses import dataclass

from ..data.dataset import Dataset
from ..errors import InputError
from ..meters.figures import LEAST_PROBES

SHARE = 0.05  # of the run's forward passes that measuring may take
LEAST_ROWS = 8
MOST_SETS, MOST_PROBES = 8, 64


@dataclass(frozen=True)
class Plan:
    """What is measured, in calls of a forward signature.

    Attributes:
      rows: examples of a set.
      sets: of examples.
      probes: directions, or steps.
      calls: that the measurement takes.
      run_calls: that the run's steps take.
    """

    rows: int
    sets: int
    probes: int
    calls: int
    run_calls: int

    @property
    def share(self) -> float:
        """The measurement's share of the run."""
        return self.calls / self.run_calls


def allowed_calls(run_calls: int) -> int:
    """Returns the calls of a forward signature that measuring may take of a run's."""
    return int(SHARE * run_calls)


def check_enough(data: Dataset, flag: str) -> None:
    """Raises InputError for a data set with fewer rows than are measured."""
    if len(data.examples) < LEAST_ROWS:
        raise InputError(
            f"{data.path}: {len(data.examples)} examples are fewer than the {LEAST_ROWS} that "
            f"{flag}=auto measures; give {flag} a number, or more examples"
        )


def plan_of(examples: int, batch_rows: int, run_calls: int, *, sizes: int = 1) -> Plan:
    """Returns the rows and directions that SHARE of a run allows, or the least that say anything.

    There are as many sets of rows as have two directions each.

    Args:
      examples: of the data set, LEAST_ROWS or more.
      batch_rows: rows of a forward signature.
      run_calls: that the run's steps take.
      sizes: number of sizes of the probe that are tried.
    """
    batches = -(-LEAST_ROWS // batch_rows)
    rows = min(batches * batch_rows, examples)
    allowed = allowed_calls(run_calls) // (batches * sizes)

    def probes_of(sets):
        return (allowed - sets) // 2

    sets = 1
    while sets < min(MOST_SETS, examples // rows) and probes_of(sets + 1) >= 2 * (sets + 1):
        sets += 1
    probes = max(LEAST_PROBES, min(probes_of(sets), MOST_PROBES))
    return Plan(rows, sets, probes, batches * sizes * (2 * probes + sets), run_calls)
