"""What runs of both kinds share: what is trained and who listens, the dev evaluations, the end."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..data.batches import Batch
from ..data.dataset import Dataset, batches_of
from ..data.order import step_members, step_seed
from ..engine.model import Model
from ..errors import LossError
from ..generate.samples import Sample, Samples
from ..health.record import RunWarning
from ..host.memory import Peak
from ..journal.lines import Evaluated, append_evaluation, read_evaluations
from ..optim.interface import Minibatch, Step
from .evaluate import Evaluation, evaluate
from .folder import RunConfig
from .optional import OptionalWrites


@dataclass(frozen=True)
class Listener:
    """Told what happens; by default nothing listens.

    `awaited` is called before each step and evaluation, may wait, and returns fields for the line
    of the step, or of the next one. What it says, before a wait say, it says through the function
    that it is given.
    """

    replayed: Callable[[int], None] = lambda steps: None
    stepped: Callable[[Step, float], None] = lambda step, seconds: None
    evaluated: Callable[[int, Evaluation], None] = lambda step, evaluation: None
    sampled: Callable[[int, Sequence[Sample]], None] = lambda step, samples: None
    say: Callable[[str], None] = lambda line: None
    awaited: Callable[[Callable[[str], None]], dict] = lambda say: {}


SILENT = Listener()


@dataclass(frozen=True)
class Training:
    """What `train` was given, see loop.py."""

    model: Model
    data: Dataset
    folder: Path
    config: RunConfig
    dev: Dataset | None
    eval_every: int
    listener: Listener
    recovery_seconds: float
    strict: bool = False
    samples: Samples | None = None
    pairs: bool = False

    @property
    def last(self) -> int:
        """The run's last step."""
        return self.config.settings.steps


@dataclass(frozen=True)
class Trained:
    """The end of a run, or of this part of it.

    Attributes:
      last_step: the last one taken.
      best_step: of the dev evaluations; the last one without any.
      step_seconds: median of the steps taken here, 0 of none.
      peak: memory.
      stopped: whether a signal ended it early.
      warnings: why the run cannot work as it is, each kind once, of earlier sessions too.
    """

    last_step: int
    best_step: int
    step_seconds: float
    peak: Peak
    stopped: bool = False
    warnings: tuple[RunWarning, ...] = ()


class DevEvaluations:
    """The evaluations of a run: after which steps one is due, and making and recording it.

    Each is the loss on the dev set, or what the model writes behind some prompts, or both.
    """

    def __init__(
        self,
        training: Training,
        before_record: Callable[[Evaluated], None],
        flush: Callable[[], None],
    ):
        """Reads those that are recorded.

        Args:
          training: the run.
          before_record: told of a new one before it counts.
          flush: brings the run's files to the disk, before and after an evaluation.
        """
        self._training, self._before_record, self._flush = training, before_record, flush
        folder, dev = training.folder, training.dev
        recorded = read_evaluations(folder, dev.sha256) if dev else []
        self._recorded = {record.step for record in recorded}
        self._optional = OptionalWrites(training.listener.say)
        self._sampled = training.samples.recorded_steps(folder) if training.samples else set()
        self._measured: dict = {}

    def measured(self) -> dict:
        """Returns, once, what was measured before evaluations: fields for the next step's line."""
        measured, self._measured = self._measured, {}
        return measured

    def is_missing(self, step: int) -> bool:
        """Whether an evaluation after this step is due and not recorded."""
        return self._lacks_loss(step) or self._lacks_samples(step)

    def after(self, step: int) -> None:
        """Evaluates and records where that is missing; the model holds the step's parameters.

        Raises:
          LossError: the loss is not finite.
        """
        training = self._training
        if not self.is_missing(step):
            return
        self._flush()
        # Battery and heat: an evaluation may take as long as many steps.
        self._measured |= training.listener.awaited(training.listener.say)
        if training.dev and self._lacks_loss(step):
            self._evaluate(training.dev, step)
        if training.samples and self._lacks_samples(step):
            self._write_samples(training.samples, step)

    def _is_due(self, step):
        every = self._training.eval_every
        return step in (0, self._training.last) or (every and step % every == 0)

    def _lacks_loss(self, step):
        return bool(self._training.dev and self._is_due(step) and step not in self._recorded)

    def _lacks_samples(self, step):
        return bool(self._training.samples and self._is_due(step) and step not in self._sampled)

    def _evaluate(self, dev, step):
        """Records the loss on the dev set."""
        training = self._training
        evaluation = evaluate(training.model, dev)
        if not math.isfinite(evaluation.loss):
            raise LossError(f"step {step}: the dev loss is not finite")
        record = Evaluated(
            step=step,
            accuracy=evaluation.accuracy,
            loss=evaluation.loss,
            examples=evaluation.examples,
            data_sha256=dev.sha256,
            metrics=evaluation.metrics,
            tokens=evaluation.tokens,
        )
        self._before_record(record)
        append_evaluation(training.folder, record)
        self._flush()
        training.listener.evaluated(step, evaluation)

    def _write_samples(self, samples, step):
        """Writes what the model says, which is for people: the run can do without."""
        folder, listener = self._training.folder, self._training.listener

        def write():
            try:
                listener.sampled(step, samples.write(self._training.model, folder, step))
            except LossError as error:
                raise LossError(f"step {step}: {error}") from error

        self._optional.attempt("samples", write)


def minibatch_of(training: Training, number: int) -> Minibatch:
    """Returns what a step works on.

    Examples and direction depend on the seed and the step's number alone, so that a run that was
    stopped goes on with the same ones.
    """
    model, data, config = training.model, training.data, training.config
    members = step_members(len(data.examples), config.batch_size, config.seed, number)
    batches = batches_of(data, model.bundle, members)
    seed = step_seed(config.seed, number)
    pair = partial(model.pair, batches) if training.pairs else None
    return Minibatch(number, seed, batches, partial(model.loss, batches), pair)


def is_ruined(training: Training, batches: Sequence[Batch]) -> bool:
    """Whether the present parameters have no finite loss on some batches; False without any.

    With pairs their signature says it, so that no other need be opened.
    """
    model = training.model
    if training.pairs:
        return bool(batches) and not math.isfinite(model.pair(batches, 0, 0.0)[0])
    return bool(batches) and not math.isfinite(model.loss(batches))


def check_last_step(training: Training, batches: Sequence[Batch]) -> None:
    """Raises LossError if the last update ruined the parameters; no later step would show it."""
    if is_ruined(training, batches):
        raise LossError(f"step {training.last}: the loss after it is not finite")
