"""A kept run: the parameters of its best dev step and of its last are saved."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..data.batches import Batch
from ..errors import RunError
from ..health.settings import flags_to_lower
from ..journal.flushed import begin_mark, end_mark, flush
from ..journal.lines import Evaluated, best_evaluation, best_step, read_evaluations
from ..optim.applied import Applied
from ..optim.interface import Step
from .listening import DevEvaluations, Training, check_last_step
from .optional import problem_of
from .parameters import drop_parameters, kept_steps, load_parameters, save_parameters


@contextmanager
def kept(training: Training, steps: Sequence[Step]) -> Iterator["Kept"]:
    """Returns the keeper of a run that holds these steps, all or none; see loop.Keeper."""
    keeper = Kept(training, len(steps))
    try:
        begin_mark(training.folder)
        try:
            yield keeper
        finally:
            end_mark(training.folder)
    except RunError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise RunError(f"{problem_of(error)}; {keeper.remains()}") from error.__cause__


class Kept:
    """A loop.Keeper: the run is finished with the line of its last step, or cannot go on."""

    resumes = False
    steps: Sequence[Applied] = ()

    def __init__(self, training: Training, count: int):
        """Takes the number of steps that the run holds."""
        self.model, self.count = training.model, count
        self._training = training

    def flush(self) -> None:
        """Flushes the run's lines to the disk."""
        flush(self._training.folder)

    def before_evaluation(self, record: Evaluated) -> None:
        """Saves the best so far before it is recorded: what is recorded as best can be loaded."""
        recorded = read_evaluations(self._training.folder, record.data_sha256)
        if best_evaluation([*recorded, record]) == record:
            self._save(record.step)

    def bring_back(self, evaluations: DevEvaluations) -> None:
        """Loads the last parameters of a finished run."""
        if self.count:
            load_parameters(self.model, self._training.folder, self.count)
            self._training.listener.replayed(self.count)
            evaluations.after(self.count)

    def before_line(self, step: Step, batches: Sequence[Batch]) -> None:
        """Saves the last parameters before the line with which the run is finished."""
        if step.step == self._training.last:
            check_last_step(self.model, batches, step.step)
            self._save(step.step)

    def write_line(self, write: Callable[[], None]) -> None:
        """Writes the step's line."""
        write()

    def after_line(self, step: Step, seconds: float) -> None:
        """Counts the step."""
        self.count = step.step
        if step.step == self._training.last:
            self.flush()

    def after_evaluation(self, number: int) -> None:
        """Drops parameters that are neither the best nor the last any more."""
        folder = self._training.folder
        if len(kept_steps(folder)) > 1:
            drop_parameters(folder, but={best_step(folder, number), self._training.last})

    def finish(self, batches: Sequence[Batch]) -> None:
        """Nothing: the last step was checked before its line."""

    def ruined(self, batches: Sequence[Batch]) -> str:
        """Names the steps whose parameters are there."""
        smaller = flags_to_lower(self._training.config.settings)
        if self.count and batches and math.isfinite(self._training.model.loss(batches)):
            self._save(self.count)  # the step that failed has not moved them
        return (
            f"start a new run with a smaller {smaller} (steps whose parameters this one keeps: "
            f"{self._kept()})"
        )

    def remains(self) -> str:
        """Tells what is left of a run that the disk ended, and what to do."""
        if self.count in (0, self._training.last):
            return f"{self.count} steps are kept: free some space and run the same command again"
        return (
            f"this run ends at step {self.count} and cannot be continued (the optimizer's state is "
            f"not kept); steps whose parameters `pocketllm eval --at_step` reads: {self._kept()}. "
            "Free some space and start again with another --run"
        )

    def _kept(self):
        """Names the steps taken whose parameters are there."""
        steps = [step for step in kept_steps(self._training.folder) if step <= self.count]
        return ", ".join(map(str, steps)) or "none"

    def _save(self, step):
        if step not in (0, *kept_steps(self._training.folder)):  # step 0's are the bundle's
            save_parameters(self.model, self._training.folder, step)
