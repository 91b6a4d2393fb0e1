"""A MeZO run: steps, dev evaluations, and the records of both."""

import math
import statistics
import time
from array import array
from contextlib import ExitStack
from pathlib import Path

from ..data.batches import Batch
from ..data.dataset import Dataset, batches_of
from ..data.order import step_members, step_seed
from ..engine.model import Model
from ..errors import LossError, RunError
from ..host import signals
from ..host.memory import PeakMemory
from ..optim.mezo import mezo_step
from .folder import RunConfig, start_or_continue
from .journal import JOURNAL, JournalWriter
from .lines import append_step, best_step, cut_lines_beyond, seconds_so_far
from .listening import Listener, Trained, check_last_step, dev_evaluations
from .lock import run_lock
from .replay import replay
from .sessions import record_session
from .snapshots import RECOVERY_SECONDS, TimedPasses, restore, save_snapshot, snapshot_due


def train(
    model: Model,
    data: Dataset,
    folder: Path,
    config: RunConfig,
    dev: Dataset | None = None,
    eval_every: int = 0,
    listener: Listener = Listener(),
    recovery_seconds: float = RECOVERY_SECONDS,
) -> Trained:
    """Runs MeZO up to `config.settings.steps`, going on from the steps a run directory holds.

    Args:
      model: initialised to the bundle's values.
      data: training examples.
      folder: the run directory.
      config: what the steps depend on.
      dev: examples to choose the best step by, or None.
      eval_every: steps between dev evaluations; 0 evaluates at the start and the end only.
      listener: told of steps and evaluations.
      recovery_seconds: that going on may take without a snapshot, see snapshots.py.

    Returns:
      The end of it; Ctrl-C and SIGTERM end it after the step under way.

    Raises:
      InputError: the folder holds another run.
      RunError: a loss is not finite, or the disk is full; the steps before are kept.
    """
    settings = config.settings
    seconds = array("d")  # of each step: eight bytes, for runs are long
    batches: list[Batch] = []
    stopped = False
    with PeakMemory() as memory, run_lock(folder), ExitStack() as opened:
        taken = start_or_continue(folder, config)
        journal = opened.enter_context(JournalWriter(Path(folder) / JOURNAL))
        if len(taken) < settings.steps:
            record_session(folder, len(taken) + 1, model)
        evaluate_dev, is_missing = dev_evaluations(
            model, folder, settings.steps, dev, eval_every, listener
        )
        passes, run_seconds = TimedPasses(model), seconds_so_far(folder)
        try:
            evaluate_dev(0)
            evaluated = next((s.step for s in taken if is_missing(s.step)), len(taken))
            restored = restore(model, folder, evaluated, listener.said)
            listener.replayed(restored)
            if restored:
                evaluate_dev(restored)
            for stretch in _stretches(taken[restored:], is_missing):
                with passes.timed():
                    replay(model, stretch, settings, listener.replayed)
                evaluate_dev(stretch[-1].step)
            for number in range(len(taken) + 1, settings.steps + 1):
                measured = listener.awaited()
                started = time.monotonic()
                members = step_members(len(data.examples), config.batch_size, config.seed, number)
                batches = batches_of(data, model.bundle, members)
                seed = step_seed(config.seed, number)
                with signals.deferred():
                    step = mezo_step(passes, lambda: model.loss(batches), number, seed, settings)
                    seconds.append(time.monotonic() - started)
                    run_seconds += seconds[-1]
                    peak = memory.peak()
                    append_step(
                        folder, step, seconds[-1], peak.anon_bytes, peak.rss_bytes, measured
                    )
                    journal.append(step, settings.eps)
                if snapshot_due(passes.seconds, run_seconds, recovery_seconds):
                    save_snapshot(model, folder, number, journal.seal)
                    passes.seconds = 0.0
                listener.stepped(step, seconds[-1])
                evaluate_dev(number)
            check_last_step(model, batches, settings.steps)
        except KeyboardInterrupt:
            stopped = True  # what was under way is no part of the run yet, and is done again
        except LossError as error:
            kept = _keep_sound(model, batches, folder, journal)
            raise RunError(
                f"{error}; the run keeps step {kept}, start a new one with a smaller --lr or --eps"
            ) from error
        median = statistics.median(seconds) if seconds else 0.0
        last = journal.count
        return Trained(last, best_step(folder, last), median, memory.peak(), stopped)


def _stretches(steps, ends):
    """Cuts steps into lists; a step of whose number `ends` is true is the last of one."""
    start = 0
    for index, step in enumerate(steps, 1):
        if index == len(steps) or ends(step.step):
            yield steps[start:index]
            start = index


def _keep_sound(model, batches, folder, journal):
    """Returns the step to keep: the last, or the one before if that led where no loss is finite."""
    last = journal.count
    if last == 0 or not batches or math.isfinite(model.loss(batches)):
        return last
    journal.drop_last()  # its own losses were finite: the parameters before it are sound
    cut_lines_beyond(folder, journal.count)
    return journal.count
