"""The loop of every run: its steps one after the other, their lines, the dev evaluations."""

import statistics
import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..data.batches import Batch
from ..data.dataset import Dataset
from ..engine.model import Model
from ..errors import LossError, RunError
from ..generate.samples import Samples
from ..host import signals
from ..host.lock import run_lock
from ..host.memory import PeakMemory
from ..journal.lines import Evaluated, append_step, best_step
from ..optim.applied import Applied, Perturbable
from ..optim.gradients import Descent
from ..optim.interface import JOURNALLED, KEPT, Step, check_bundle, takes_pairs
from .folder import RunConfig, start_or_continue
from .journalled import journalled
from .kept import kept
from .listening import SILENT, DevEvaluations, Listener, Trained, Training, minibatch_of
from .optional import OptionalWrites
from .sessions import MACHINE, record_session
from .snapshots import RECOVERY_SECONDS
from .watch import Watch


class Keeper(Protocol):
    """How a kind of run keeps what its steps did; called in the order of its methods."""

    @property
    def model(self) -> Perturbable:
        """What the optimizer gets: the model, or what records what is done to it."""
        ...

    @property
    def steps(self) -> Sequence[Applied] | Sequence[Descent]:
        """Those taken before, for the optimizer to derive its state from, or to know of."""
        ...

    @property
    def count(self) -> int:
        """The number of steps that the run holds."""
        ...

    def flush(self) -> None:
        """Flushes the run's files to the disk."""

    def before_evaluation(self, record: Evaluated) -> None:
        """A dev evaluation is about to be recorded."""

    def bring_back(self, evaluations: DevEvaluations) -> None:
        """Brings the model to the last of the steps; makes up for evaluations on the way."""

    def before_line(self, step: Step, batches: Sequence[Batch]) -> None:
        """A step's line is about to be written."""

    def write_line(self, write: Callable[[], None]) -> None:
        """Writes the step's line."""

    def after_line(self, step: Step, seconds: float) -> None:
        """The line is written: with it, or what is written here, the step counts."""

    def after_evaluation(self, number: int) -> None:
        """All of a step is done."""

    def stop(self) -> None:
        """A signal ends this part of the run."""

    def finish(self, batches: Sequence[Batch]) -> None:
        """All steps are done; `batches` of the last one taken here, none where none was."""

    def ruined(self, batches: Sequence[Batch]) -> str:
        """A loss is not finite: returns what the run keeps, and what to do."""
        ...


KEEPERS: dict[str, Callable[[Training, Any], AbstractContextManager[Keeper]]] = {
    JOURNALLED: journalled,
    KEPT: kept,
}


def train(
    model: Model,
    data: Dataset,
    folder: Path,
    config: RunConfig,
    dev: Dataset | None = None,
    *,
    samples: Samples | None = None,
    eval_every: int = 0,
    listener: Listener = SILENT,
    recovery_seconds: float = RECOVERY_SECONDS,
    strict: bool = False,
    pairs: bool = True,
) -> Trained:
    """Runs an optimizer up to `config.settings.steps`.

    It goes on from the steps that its directory holds. A kept run takes those since its newest
    snapshot again; a dev set that it has not seen is evaluated from there on.

    Args:
      model: initialised to the bundle's values.
      data: training examples.
      folder: the run directory.
      config: what the steps depend on; its settings' type says which optimizer.
      dev: examples to choose the best step by, or None.
      samples: writes what the model says at each evaluation, or None.
      eval_every: steps between evaluations; 0 evaluates at the start and the end only.
      listener: told of steps and evaluations.
      recovery_seconds: that going on may take without a snapshot, see snapshots.py.
      strict: whether a warning (watch.py) is an error.
      pairs: whether both probes of a step are one forward pass, where the bundle has that.

    Returns:
      The end of it; Ctrl-C and SIGTERM end it after the step under way.

    Raises:
      InputError: the folder holds another run, or the bundle is not for the optimizer, or a step
        with gradients, taken again, is not what it was.
      RunError: a loss is not finite, or the disk is full, or there is a warning and it is
        `strict`; the steps before are kept.
    """
    folder, limits = Path(folder), (recovery_seconds, strict)
    pairs = takes_pairs(config.optimizer, model.bundle, config.settings, None if pairs else False)
    training = Training(
        model, data, folder, config, dev, eval_every, listener, *limits, samples, pairs
    )
    check_bundle(config.optimizer, model.bundle, config.batch_size, config.settings)
    with PeakMemory() as memory, run_lock(folder):
        steps = start_or_continue(folder, config)
        watch = Watch(training, steps)
        training = replace(training, listener=watch.listener)
        with KEEPERS[config.optimizer.kind](training, steps) as keeper:
            trained = _run(training, keeper, memory)
        if not trained.stopped:
            watch.finish(trained.last_step)
        return replace(trained, warnings=tuple(watch.warnings))


def _run(training, keeper, memory):
    """Brings the model to where the run stands, and takes the steps that are left."""
    evaluations = DevEvaluations(training, keeper.before_evaluation, keeper.flush)
    seconds = array("d")  # of each step: eight bytes, for runs are long
    batches: list[Batch] = []  # of the step under way or taken last
    stopped = False
    if keeper.count < training.last:
        say, first = training.listener.say, keeper.count + 1
        record = partial(record_session, training.folder, first, training.model, say)
        OptionalWrites(say).attempt(MACHINE, record)
    try:
        evaluations.after(0)
        keeper.bring_back(evaluations)
        if keeper.count < training.last:
            _take_steps(training, keeper, memory, evaluations, seconds=seconds, batches=batches)
        keeper.finish(batches)
    except KeyboardInterrupt:
        stopped = True  # what was under way is no part of the run yet, and is done again
        signals.clear()
        keeper.stop()
    except LossError as error:
        raise RunError(f"{error}; {keeper.ruined(batches)}") from error
    median = statistics.median(seconds) if seconds else 0.0
    last = keeper.count
    return Trained(last, best_step(training.folder, last), median, memory.peak(), stopped)


def _take_steps(training, keeper, memory, evaluations, *, seconds, batches):
    """Takes the steps that are left; notes the seconds of each, and the batches of the last."""
    config = training.config
    take = config.optimizer.begin(keeper.model, config.settings, keeper.steps)

    def say_flushed(line):
        keeper.flush()  # a pause may be long
        training.listener.say(line)

    for number in range(keeper.count + 1, training.last + 1):
        # The listener may pause the run here (battery, heat): before the clock starts.
        further = evaluations.measured() | training.listener.awaited(say_flushed)
        started = time.monotonic()
        minibatch = minibatch_of(training, number)
        batches[:] = minibatch.batches

        # A signal waits until the step counts: otherwise the parameters would be ahead of what
        # the directory says of them.
        with signals.deferred():
            step = take(minibatch)
            seconds.append(time.monotonic() - started)
            keeper.before_line(step, batches)
            cost = seconds[-1], memory.peak()
            keeper.write_line(partial(append_step, training.folder, step, *cost, further))
            keeper.after_line(step, seconds[-1])

        training.listener.stepped(step, seconds[-1])
        evaluations.after(number)
        keeper.after_evaluation(number)
