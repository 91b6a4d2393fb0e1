"""The run that settings are chosen for."""

from dataclasses import dataclass

# No step has this number: what it draws is no step's, and follows from the run's seed alone.
BEFORE_THE_FIRST = 0


@dataclass(frozen=True)
class Course:
    """What of a run is settled.

    Attributes:
      batch_size: examples a step.
      steps: its length.
      seed: of the run.
      lr: learning rate, None where it is to be chosen.
      eps: size of the probe, None where it is to be chosen, or there is none.
    """

    batch_size: int
    steps: int
    seed: int
    lr: float | None
    eps: float | None

    def batches(self, batch_rows: int) -> int:
        """Returns the calls of a forward signature that a minibatch takes."""
        return -(-self.batch_size // batch_rows)
