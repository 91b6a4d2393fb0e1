"""A journalled run: a record of what each step applied, and now and then a snapshot."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from ..data.batches import Batch
from ..health.settings import flags_to_lower
from ..journal.lines import Evaluated, cut_lines_beyond, seconds_so_far
from ..journal.reader import JOURNAL
from ..journal.writer import JournalWriter
from ..optim.applied import Applied, Recorder
from ..optim.interface import ProbeSettings, Step
from .listening import DevEvaluations, Training, check_last_step, is_ruined
from .optional import OptionalWrites
from .replay import replay
from .snapshots import restore, save_snapshot, snapshot_due


@contextmanager
def journalled(training: Training, steps: Sequence[Applied]) -> Iterator["Journalled"]:
    """Opens the journal of a run that holds these steps; see loop.Keeper."""
    with JournalWriter(training.folder / JOURNAL) as journal:
        yield Journalled(training, steps, journal)


class Journalled:
    """A loop.Keeper: whatever stops the run, it goes on with the step after the last record."""

    def __init__(self, training: Training, steps: Sequence[Applied], journal: JournalWriter):
        """Takes an open journal and its steps."""
        self.model, self.steps = Recorder(training.model), steps
        self._training, self._journal = training, journal
        self._run_seconds = seconds_so_far(training.folder)
        self._optional = OptionalWrites(training.listener.say)
        self._next_attempt = 0.0  # at a snapshot, once one had no space: in seconds of passes

    @property
    def count(self) -> int:
        """How many records the journal holds."""
        return self._journal.count

    def flush(self) -> None:
        """Flushes the journal and the lines to the disk."""
        self._journal.flush()

    def before_evaluation(self, record: Evaluated) -> None:
        """Nothing: the journal gives the parameters of any step."""

    def bring_back(self, evaluations: DevEvaluations) -> None:
        """Starts from the newest snapshot before the first evaluation to make up for."""
        training, steps = self._training, self.steps
        missing = (step for step in range(1, len(steps) + 1) if evaluations.is_missing(step))
        restored = restore(
            training.model,
            training.folder,
            next(missing, len(steps)),
            training.listener.say,
        )
        training.listener.replayed(restored)
        if restored:
            evaluations.after(restored)
        for stretch in _stretches(steps, restored, evaluations.is_missing):
            with self.model.timed():
                replay(training.model, stretch, training.listener.replayed)
            evaluations.after(stretch[-1].step)

    def before_line(self, step: Step, batches: Sequence[Batch]) -> None:
        """Nothing: a line without a record is cut off when the run goes on."""

    def write_line(self, write: Callable[[], None]) -> None:
        """Writes the step's line, which is for people: the run can do without."""
        self._optional.attempt("lines", write)

    def after_line(self, step: Step, seconds: float) -> None:
        """Writes the record, with which the step counts."""
        self._run_seconds += seconds
        eps = cast(ProbeSettings, self._training.config.settings).eps
        passes, decay = self.model.end_step()
        self._journal.append(Applied(step.step, step.losses, step.lr, eps, passes, decay))

    def after_evaluation(self, number: int) -> None:
        """Takes a snapshot where doing the passes again would take too long."""
        training, tail_seconds = self._training, self.model.seconds
        is_due = snapshot_due(tail_seconds, self._run_seconds, training.recovery_seconds)
        if not is_due or tail_seconds < self._next_attempt:
            return
        self.flush()
        checksum = self._journal.checksum
        save = partial(save_snapshot, training.model, training.folder, number, checksum)
        if self._optional.attempt("snapshots", save):
            self.model.seconds = self._next_attempt = 0.0
        else:
            self._next_attempt = 2 * tail_seconds

    def stop(self) -> None:
        """Nothing: the journal is all of the run."""

    def finish(self, batches: Sequence[Batch]) -> None:
        """Raises LossError where the last update ruined the parameters."""
        check_last_step(self._training, batches)

    def ruined(self, batches: Sequence[Batch]) -> str:
        """Drops the last record if it led to where no loss is finite."""
        journal = self._journal
        if journal.count and is_ruined(self._training, batches):
            journal.drop_last()  # its own losses were finite: the parameters before it are sound
            cut_lines_beyond(self._training.folder, journal.count)
        smaller = flags_to_lower(self._training.config.settings)
        return f"the run keeps step {journal.count}, start a new one with a smaller {smaller}"


def _stretches(steps, start, ends):
    """Cuts the steps behind `start` into stretches; a step whose number `ends` is true for is the
    last of one."""
    for number in range(start + 1, len(steps) + 1):
        if number == len(steps) or ends(number):
            yield steps[start:number]
            start = number
