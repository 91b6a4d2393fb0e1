"""Fails the power of a training run at every kind of moment, and goes on with what is left.

Three runs are recorded, write by write and flush by flush: one trains, one gets a warning about its
steps, one gets a warning at its start. A schedule draws a run, a moment in it, and which of the
writes that were not flushed by then reached the disk (power_loss.py). What is left must open as a
run, hold all steps that were flushed and no other, and go on to the same bytes as the undisturbed
run. In some schedules the power fails once more while the run goes on.

example:
  pocketllm torture power --bundle=BUNDLE --train=train.tsv --dev=dev.tsv --schedules=10000
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
from absl import flags

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.data.dataset import Dataset, load_dataset
from pocketllm.runtime.engine.model import Model, open_model
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.health.record import read_warnings
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.journal.flushed import EVALUATIONS, FLUSHED, JOURNAL
from pocketllm.runtime.journal.lines import read_steps
from pocketllm.runtime.journal.reader import read_journal
from pocketllm.runtime.optim.interface import Settings
from pocketllm.runtime.optim.mezo import MezoSettings
from pocketllm.runtime.run.folder import RunConfig, steps_so_far
from pocketllm.runtime.run.listening import Listener
from pocketllm.runtime.run.loop import train

from .disk import Recorder, recording
from .power_loss import Disk, moments

RUN = "run"
MACHINE = {"cpu": "any", "cores": 1, "memory_bytes": 0, "system": "any", "versions": {}}
FLUSH_STEPS, SNAPSHOT_STEPS, PAUSE_STEPS, EVAL_STEPS = 8, 7, 13, 11  # every so many steps
SMALL_LR = 1e-12  # moves no parameter, which is a warning
TWICE = 8  # every so many schedules fail again while they go on

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle folder, a small one")
define.string("train", None, "training data")
define.string("dev", None, "dev data")
define.integer("steps", 24, "steps per run", 1)
define.integer("schedules", 10_000, "number of failures", 1)
define.integer("seed", 0, "random seed of the schedules", 0)
flags.mark_flags_as_required(["bundle", "train", "dev"], flag_values=FLAGS)


def mezo_settings(lr: float, steps: int) -> MezoSettings:
    """Returns those of a MeZO run."""
    return MezoSettings(lr, 1e-2, 0.1, "constant", steps)


@dataclass(frozen=True)
class Trial:
    """What is trained, again and again.

    Attributes:
      model, data, dev, steps: as `train` has them.
      lr: learning rate; by default the steps move the parameters.
      eval_every: steps between dev evaluations.
      settings: (lr, steps) -> the optimizer's, with a decay.
    """

    model: Model
    data: Dataset
    dev: Dataset
    steps: int
    lr: float = 1e-2
    eval_every: int = EVAL_STEPS
    settings: Callable[[float, int], Settings] = mezo_settings

    @property
    def config(self) -> RunConfig:
        """Of the run."""
        settings = self.settings(self.lr, self.steps)
        return RunConfig.of(self.model.bundle, self.data, settings, batch_size=2, seed=0)


@dataclass(frozen=True)
class Recording:
    """A run without a failure.

    Attributes:
      trial: what was trained.
      recorded: all that was written.
      expected: what it came to, see `_end_of`.
      ends: of the records in its journal.
    """

    trial: Trial
    recorded: Recorder
    expected: dict
    ends: Sequence[int]


@dataclass
class Failures:
    """Figures of schedules.

    Attributes:
      count: of failures.
      twice: schedules that failed again while they went on.
      kept_steps: that runs held after a failure, all together.
      holes: journals with sound steps behind lost ones.
      torn: journals with an unfinished end.
    """

    count: int = 0
    twice: int = 0
    kept_steps: int = 0
    holes: int = 0
    torn: int = 0


def fast_folder() -> str | None:
    """Returns where temporary files are in memory, None for the usual place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextmanager
def steady() -> Iterator[None]:
    """Lets a run flush and take snapshots by its steps, not by the time that they take."""
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(ticks) * 1.0 / FLUSH_STEPS)
    due = itertools.count(1)

    def is_due(*_):
        return next(due) % SNAPSHOT_STEPS == 0

    with (
        mock.patch("pocketllm.runtime.journal.writer.time", clock),
        mock.patch("pocketllm.runtime.run.journalled.snapshot_due", is_due),
        mock.patch("pocketllm.runtime.run.kept.snapshot_due", is_due),
        mock.patch("pocketllm.runtime.run.sessions.describe_machine", MACHINE.copy),
        mock.patch.object(os, "fsync", lambda handle: None),  # what fails here is not the disk
    ):
        yield


def go_on(trial: Trial, folder: Path) -> None:
    """Trains from where a run stands to its end, with pauses."""
    calls = itertools.count(1)

    def awaited(say):
        if next(calls) % PAUSE_STEPS == 0:
            say("paused")
        return {}

    trial.model.initialize()
    train(
        trial.model,
        trial.data,
        folder,
        trial.config,
        trial.dev,
        eval_every=trial.eval_every,
        listener=Listener(awaited=awaited),
    )


def fail_and_go_on(
    trial: Trial,
    folder: Path,
    schedules: int,
    seed: int,
    progress: Callable[[int], None] = lambda schedules: None,
) -> Failures:
    """Records runs, and goes on with what each schedule leaves of one.

    Args:
      trial: what is trained.
      folder: for the runs, empty.
      schedules: number of them.
      seed: of the moments and of what is left.
      progress: told of each schedule.

    Raises:
      RunError: a run could not go on, lost what was flushed, or came out different.
    """
    failures = Failures()
    trials = (trial, replace(trial, lr=SMALL_LR), replace(trial, eval_every=0))
    recordings = [_record(trial, folder / f"whole-{place}") for place, trial in enumerate(trials)]
    for number in range(schedules):
        rng, left = np.random.default_rng([seed, number]), folder / "left"
        whole = recordings[number % len(recordings)]
        try:
            with steady():
                flushed = _fail(whole.recorded, left, rng)
                failures.count += 1
                if number % TWICE == 0:
                    with recording(left) as again:
                        go_on(whole.trial, left / RUN)
                    flushed = _fail(again, left, rng)
                    failures.twice += 1
                    failures.count += 1
                _check(whole, left / RUN, flushed, failures)
        except (InputError, RunError) as error:
            raise RunError(f"schedule {number} of --seed={seed}: {error}") from error
        progress(1)
    return failures


def _record(trial, folder):
    """Trains a run to its end."""
    folder.mkdir()
    with steady(), recording(folder) as recorded:
        go_on(trial, folder / RUN)
    ends = read_journal(folder / RUN / JOURNAL).ends
    return Recording(trial, recorded, _end_of(trial, folder / RUN), ends)


def _fail(recorded: Recorder, folder: Path, rng) -> bytes:
    """Writes what a failure leaves into a folder; returns what was flushed of the journal."""
    choices = moments(recorded, JOURNAL)
    disk = Disk(recorded.events[: rng.choice(choices[rng.integers(len(choices))])])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    disk.write_remains(folder, rng)
    return disk.flushed(f"{RUN}/{JOURNAL}")


def _check(whole, run, flushed, failures):
    """Raises RunError or InputError unless the run goes on to the end that is expected."""
    trial, expected, ends = whole.trial, whole.expected, whole.ends
    steps, true_steps = steps_so_far(run, trial.config), expected["steps"]
    least = sum(end <= len(flushed) for end in ends[1:])
    if len(steps) < least or list(steps) != true_steps[: len(steps)]:
        raise RunError(f"holds {len(steps)} steps, {least} were flushed; or they are others")
    failures.kept_steps += len(steps)
    if (run / JOURNAL).exists():
        left = read_journal(run / JOURNAL)
        failures.holes += bool(left.lost_steps)
        failures.torn += bool(left.torn_bytes)
    go_on(trial, run)
    end = _end_of(trial, run)
    # Lines are for people: some of steps that count may be lost, none may be another.
    end["lines"], lines = expected["lines"], end["lines"]
    if set(lines) - set(expected["lines"]):
        raise RunError("some line of metrics.jsonl is another")
    if different := [name for name, value in expected.items() if end[name] != value]:
        raise RunError(f"the run came to another end: {', '.join(different)}")
    if (run / FLUSHED).exists() or [path.name for path in run.glob(".*partial*")]:
        raise RunError("files of a run under way are still there")


def _end_of(trial, run):
    """Returns all that a run must come to: steps, journal, evaluations, lines, parameters, and
    warnings."""
    lines = read_steps(run, trial.config.optimizer.step, gaps=True)
    parameters = {name: values.tobytes() for name, values in trial.model.read()}
    journal = run / JOURNAL
    evaluations = sorted((run / EVALUATIONS).read_bytes().splitlines())
    return {
        "steps": list(read_journal(journal).steps),
        "journal": journal.read_bytes(),
        "evaluations": evaluations,
        "lines": lines,
        "parameters": parameters,
        "warnings": read_warnings(run),
    }


def run(values) -> dict:
    """Fails the power and compares; see the module's docstring."""
    bundle = read_bundle(values.bundle)
    data, dev = load_dataset(values.train, bundle), load_dataset(values.dev, bundle)
    trial = Trial(open_model(bundle, threads=1), data, dev, values.steps)
    with (
        tempfile.TemporaryDirectory(dir=fast_folder()) as name,
        Progress("failing", values.schedules, "schedule") as bar,
    ):
        failures = fail_and_go_on(trial, Path(name), values.schedules, values.seed, bar.advance)
    print(
        f"{values.schedules} schedules, {failures.twice} of them with a second failure: every run "
        f"opened, held what was flushed and went on to the same bytes; {failures.holes} journals "
        f"had a hole, {failures.torn} an unfinished end"
    )
    return asdict(failures)
