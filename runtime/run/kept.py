"""A kept run: its journal says what each step measured, and its snapshots hold what it changed.

A step with gradients needs its data. So what a run that was killed did since its newest snapshot is
taken again, and every step is compared with its record: the same bits, or the run is refused
(docs/decisions/0044-a-step-with-gradients-is-taken-again.md). The parameters of the best dev step
and of the last stay for `eval` and `replay`.
"""

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from ..data.batches import Batch
from ..engine.model import Model
from ..errors import InputError
from ..health.settings import flags_to_lower
from ..journal.lines import (
    Evaluated,
    best_evaluation,
    best_step,
    cut_lines_beyond,
    read_evaluations,
    seconds_so_far,
)
from ..journal.reader import JOURNAL, read_journal
from ..journal.writer import JournalWriter
from ..optim.gradients import Descent, GradientStep
from ..optim.interface import Step
from .listening import DevEvaluations, Training, check_last_step, minibatch_of
from .optional import OptionalWrites
from .parameters import MOMENTS, PARAMETERS, checksum_of, load_parameters, save_parameters
from .snapshots import drop_others, restore, save_snapshot, snapshot_due, snapshot_steps

REDONE = 4  # so many times as often are steps saved that are taken again


@contextmanager
def kept(training: Training, steps: Sequence[Descent]) -> Iterator["Kept"]:
    """Opens the journal of a run that holds these steps; see loop.Keeper."""
    with JournalWriter(training.folder / JOURNAL) as journal:
        yield Kept(training, steps, journal)


class Kept:
    """A loop.Keeper: whatever stops the run, it goes on with the step after the last record."""

    def __init__(self, training: Training, steps: Sequence[Descent], journal: JournalWriter):
        """Takes an open journal and its steps."""
        has_moments = training.config.optimizer.has_moments
        self.steps = steps
        self.model, self._training, self._journal = training.model, training, journal
        self._parts = (PARAMETERS, MOMENTS) if has_moments else (PARAMETERS,)
        self._run_seconds = seconds_so_far(training.folder)
        self._tail_seconds = 0.0  # of the steps since the last snapshot
        self._step: int | None = None  # whose end the model is at; None where that is unknown
        self._has_moments = False  # those of this step, where it needs any
        self._is_best_new = False
        self._unsound: set[int] = set()  # steps whose snapshots cannot be used
        self._optional = OptionalWrites(training.listener.say)
        self._next_attempt = 0.0  # at a snapshot, once one had no space: in seconds of steps

    @property
    def count(self) -> int:
        """How many records the journal holds."""
        return self._journal.count

    def flush(self) -> None:
        """Flushes the journal and the lines to the disk."""
        self._journal.flush()

    def before_evaluation(self, record: Evaluated) -> None:
        """Saves the best so far before it is recorded: what is recorded as best can be loaded."""
        recorded = read_evaluations(self._training.folder, record.data_sha256)
        if record.step and best_evaluation([*recorded, record]) == record:
            self._save(record.step)  # step 0's are the bundle's
            self._is_best_new = True

    def bring_back(self, evaluations: DevEvaluations) -> None:
        """Brings the model to the last step's end; a finished run needs no more than its last
        parameters."""
        training, last = self._training, self.count
        if last == 0:
            self._step, self._has_moments = 0, True  # as a run begins
        elif last == training.last and self._loads_last():
            self._step = last
            training.listener.replayed(last)
            evaluations.after(last)
        else:
            self._bring_to(last, training.listener.replayed, evaluations.after)

    def before_line(self, step: Step, batches: Sequence[Batch]) -> None:
        """Nothing: a line without a record is cut off when the run goes on."""

    def write_line(self, write: Callable[[], None]) -> None:
        """Writes the step's line, which is for people: the run can do without."""
        self._optional.attempt("lines", write)

    def after_line(self, step: Step, seconds: float) -> None:
        """Writes the record, with which the step counts."""
        self._run_seconds += seconds
        self._tail_seconds += seconds
        self._journal.append(descent_of(cast(GradientStep, step), self.model))
        self._step = step.step

    def after_evaluation(self, number: int) -> None:
        """Takes a snapshot where taking the steps again would take too long."""
        if self._is_due(1):
            self._take_snapshot(number)
        elif self._is_best_new:
            self._drop_others()

    def stop(self) -> None:
        """Takes a snapshot: the run goes on from there at once, and can be evaluated."""
        if self.count and self._step == self.count and not self._is_saved(*self._parts):
            self._take_snapshot(self.count)

    def finish(self, batches: Sequence[Batch]) -> None:
        """Saves the last parameters; raises LossError where the last update ruined them."""
        check_last_step(self._training, batches)
        if self._has_moments and not self._is_saved(*self._parts):
            self.flush()
            self._snapshot(self.count)
        self._drop_others()

    def ruined(self, batches: Sequence[Batch]) -> str:
        """Saves the last parameters that give a finite loss; drops the last record if it led to
        where there is none."""
        is_moved = not self.model.bundle.adds_gradients  # by the step that failed
        if self.count and batches and not self._keeps(batches, is_moved):
            self._journal.drop_last()  # its own loss was finite: those before it are sound
            cut_lines_beyond(self._training.folder, self.count)
            if self.count:
                self._keeps(batches, True)
        smaller = flags_to_lower(self._training.config.settings)
        return f"the run keeps step {self.count}, start a new one with a smaller {smaller}"

    def _keeps(self, batches, is_moved):
        """Saves the last step's parameters if they give a finite loss; returns whether they do.

        `is_moved` is whether the model may be elsewhere.
        """
        if is_moved:
            folder = self._training.folder
            self._training.listener.say(f"{folder}: going back to the end of step {self.count}")
            PARAMETERS.reset(self.model)
            self._bring_to(self.count)
        is_finite = math.isfinite(self.model.loss(batches))
        if is_finite:
            self._save(self.count)
        return is_finite

    def _loads_last(self):
        """Brings in the last parameters alone; returns whether they were there."""
        try:
            if not self._is_saved(PARAMETERS):
                return False
            load_parameters(self.model, self._training.folder, self.count)
        except InputError:  # damaged, which is said of the snapshot
            PARAMETERS.reset(self.model)
            return False
        return True

    def _bring_to(self, step, progress=lambda steps: None, after=lambda number: None):
        """Brings the newest snapshot in, and takes the steps behind it again, up to `step`.

        `progress` is told how many steps more are done, and `after` of each step from there on.
        """
        training, self._step = self._training, None
        take = training.config.optimizer.begin(self.model, training.config.settings, ())
        self._has_moments = True
        say, records = training.listener.say, read_journal(training.folder / JOURNAL).steps
        restored = restore(self.model, training.folder, step, say, parts=self._parts)
        self._unsound = {n for n in snapshot_steps(training.folder, self._parts) if n > restored}
        progress(restored)
        if restored:
            after(restored)
        for number in range(restored + 1, step + 1):
            training.listener.awaited(say)
            started = time.monotonic()
            step_again = cast(GradientStep, take(minibatch_of(training, number)))
            again = descent_of(step_again, self.model)
            self._tail_seconds += time.monotonic() - started
            if again != records[number - 1]:
                raise InputError(self._differs(records[number - 1], again))
            progress(1)
            if number in self._unsound and number in self._spared():
                self._save(number)  # what `eval` and `replay` take is sound again
            after(number)
            if self._is_due(REDONE):  # or a run that is killed again and again stands still
                self._take_snapshot(number)
        self._step = step

    def _differs(self, recorded, again):
        return (
            f"{self._training.folder}: step {again.step}, taken again, has the loss {again.loss!r} "
            f"(state {again.state:08x}), its record {recorded.loss!r} ({recorded.state:08x}); go "
            "on with the engine, the --threads and the machine that took it (machine.json), or "
            "choose another --run"
        )

    def _is_due(self, weight):
        """Whether a snapshot is due, a second since the last one counting so many times."""
        tail_seconds, recovery_seconds = self._tail_seconds, self._training.recovery_seconds
        is_due = snapshot_due(weight * tail_seconds, self._run_seconds, recovery_seconds)
        return is_due and tail_seconds >= self._next_attempt

    def _take_snapshot(self, step):
        self.flush()
        if self._optional.attempt("snapshots", partial(self._snapshot, step)):
            self._tail_seconds = self._next_attempt = 0.0
        else:
            self._next_attempt = 2 * self._tail_seconds

    def _snapshot(self, step):
        """Saves what the model holds, which is at the end of this step."""
        unsound = self._unsound - {step}
        save_snapshot(
            self.model,
            self._training.folder,
            step,
            self._checksum(step),
            parts=self._parts,
            spared=self._spared(),
            unsound=unsound,
            least=1,
        )
        self._unsound = unsound
        self._is_best_new = False

    def _drop_others(self):
        drop_others(self._training.folder, self._parts, self._spared(), self._unsound)
        self._is_best_new = False

    def _spared(self):
        """Returns the steps whose parameters `eval` and `replay` take."""
        return {best_step(self._training.folder, self.count), self._training.last}

    def _save(self, step):
        """Saves the parameters of a step that the model is at."""
        save_parameters(self.model, self._training.folder, step, self._checksum(step))

    def _checksum(self, step):
        """Returns that of a step's record."""
        if step == self.count:
            return self._journal.checksum
        return read_journal(self._training.folder / JOURNAL).checksums[step]

    def _is_saved(self, *parts):
        """Whether parts of the last step are there."""
        folder, checksum = self._training.folder, self._journal.checksum
        return all(checksum_of(folder, self.count, part) == checksum for part in parts)


def descent_of(step: GradientStep, model: Model) -> Descent:
    """Returns a step's record; the model is at its end.

    Its state is the CRC-32 of one slice of the parameters, the next one at each step: of what is
    trained of a LoRA bundle all, of a large model's parameters 64 MB.
    """
    state, bundle = 0, model.bundle
    # Where all is trained, the memory of an only slice is small beside what a step takes.
    release = bundle.slices > 1 or bundle.adds_gradients
    for _, values in model.read_slice((step.step - 1) % bundle.slices, release):
        state = zlib.crc32(values.data, state)
    norm = 0.0 if step.norm is None else step.norm
    share = 1.0 if step.share is None else step.share
    return Descent(step.step, state, step.loss, step.lr, norm, share)
