"""Watches a run: each warning once, said and recorded in its folder, or a failure (--strict)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..bundle.contents import Bundle
from ..data.dataset import Dataset
from ..errors import InputError, RunError
from ..health.choice import KINDS as CHOICE_KINDS
from ..health.choice import choice_warnings, dev_loss_warnings
from ..health.data import DEV_KINDS, TRAIN_KINDS, data_warnings
from ..health.record import WARNINGS, RunWarning, read_warnings, without, write_warnings
from ..health.settings import (
    decay_warnings,
    settings_warnings,
    turns_signs,
    typical_size,
    update_size,
)
from ..health.steps import FIRST, RECENT, Measured, StepWatch
from ..journal.lines import read_evaluations
from ..optim.applied import Applied
from ..optim.gradients import Descent
from ..optim.interface import JOURNALLED
from .evaluate import Evaluation
from .folder import RunConfig
from .listening import Listener, Training
from .optional import OptionalWrites, passed_over
from .sessions import engine_warnings


class Watch:
    """The warnings of a run while its steps are taken.

    Attributes:
      listener: the training's, which watches too.
      warnings: those of the run so far, earlier sessions included.
    """

    def __init__(self, training: Training, steps: Sequence[Applied] | Sequence[Descent]):
        """Begins a session of a run whose folder is prepared and holds these steps.

        Raises:
          RunError: the training is strict and the run has a warning.
        """
        self._training, self._said = training, training.listener
        self.listener: Listener = replace(
            training.listener, stepped=self._stepped, evaluated=self._evaluated
        )
        self._optional = OptionalWrites(self._said.say)
        recorded = recorded_warnings(training.folder, self._said.say)
        self._known = {warning.kind for warning in recorded}
        self.warnings = lasting_warnings(recorded, training.dev)
        bundle, config = training.model.bundle, training.config
        is_decay = turns_signs(config.settings)
        self._smaller = "--weight_decay" if is_decay else "--lr"
        typical = typical_size(bundle)
        is_normalised = update_size(config.settings) is not None
        self._steps = StepWatch(_eps(config), typical, self._smaller, is_normalised)
        if training.strict:
            refuse(self.warnings)
        self._add(
            warnings_before_start(
                bundle,
                config,
                training.folder,
                data=training.data,
                dev=training.dev,
                eval_every=training.eval_every,
                typical=typical,
            )
        )
        if config.optimizer.kind == JOURNALLED:
            self._add(engine_warnings(training.folder, training.model, len(steps)))
        for step in [*steps[:FIRST], *steps[FIRST:][-RECENT:]]:
            self._add(self._steps.take(Measured(step.step, tuple(step.losses), step.lr)))

    def finish(self, last: int) -> None:
        """Ends a session that came to the run's last step; raises as a step does."""
        self._add(self._steps.finish())
        if self._training.dev:
            choice = list(choice_warnings(last, 0, [entry.step for entry in self._evaluations()]))
            if not choice:
                self.warnings = without(self.warnings, CHOICE_KINDS)
            self._add(choice)
        self._record()

    def _stepped(self, step, seconds):
        self._said.stepped(step, seconds)
        norm = getattr(step, "norm", None)
        self._add(self._steps.take(Measured(step.step, tuple(step.losses), step.lr, norm)))

    def _evaluated(self, step: int, evaluation: Evaluation):
        self._said.evaluated(step, evaluation)
        self._add(dev_loss_warnings(self._evaluations(), self._smaller))

    def _evaluations(self):
        dev = self._training.dev
        return read_evaluations(self._training.folder, dev.sha256) if dev else []

    def _add(self, warnings):
        """Says and records the warnings of kinds that the run does not have yet."""
        for warning in warnings:
            if warning.kind in {entry.kind for entry in self.warnings}:
                continue
            self.warnings.append(warning)
            self._record()
            if self._training.strict:
                refuse([warning])
            if warning.kind not in self._known:
                self._said.say(f"warning: {warning.text}")

    def _record(self):
        """Writes the warnings, which are said in any case, to the run's folder."""
        write = partial(write_warnings, self._training.folder, self.warnings)
        self._optional.attempt(WARNINGS, write)


def recorded_warnings(
    folder: Path, say: Callable[[str], None] = lambda line: None
) -> Sequence[RunWarning]:
    """Returns a run's recorded warnings; of a damaged file none, and `say` is told."""
    try:
        return read_warnings(folder)
    except InputError as error:
        say(passed_over(error))
        return ()


def lasting_warnings(recorded: Sequence[RunWarning], dev: Dataset | None) -> list[RunWarning]:
    """Returns a run's recorded warnings without those that `warnings_before_start` finds anew.

    A dev set, and how often it is evaluated, may differ from one session to the next.
    """
    renewed = TRAIN_KINDS + (DEV_KINDS + CHOICE_KINDS if dev else ())
    return without(recorded, renewed)


def warnings_before_start(
    bundle: Bundle,
    config: RunConfig,
    folder: Path,
    *,
    data: Dataset,
    dev: Dataset | None,
    eval_every: int,
    typical: float,
) -> Iterator[RunWarning]:
    """Yields what data, settings and folder say of a run before its first step; see `train`."""
    yield from data_warnings(data, dev, bundle.scoring)
    settings = config.settings
    update = update_size(settings)
    yield from settings_warnings(bundle, settings.lr, _eps(config), typical, update)
    yield from decay_warnings(config.settings)
    if dev:
        evaluated = [entry.step for entry in read_evaluations(folder, dev.sha256)]
        yield from choice_warnings(config.settings.steps, eval_every, evaluated)


def refuse(warnings: Sequence[RunWarning]) -> None:
    """Raises RunError with the first of the warnings, if there is one."""
    for warning in warnings:
        raise RunError(f"{warning.text} (--strict: a warning ends the run; its steps are kept)")


def _eps(config):
    """Returns the size of the probe, None for an optimizer without one."""
    return getattr(config.settings, "eps", None)
