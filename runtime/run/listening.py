"""What the runs of every optimizer share: who listens, how they end, the dev evaluations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.batches import Batch
from ..data.dataset import Dataset
from ..engine.model import Model
from ..errors import LossError
from ..host.memory import Peak
from ..optim.adam import AdamStep
from ..optim.mezo import MezoStep
from .evaluate import Evaluation, evaluate
from .lines import Evaluated, append_evaluation, read_evaluations


@dataclass(frozen=True)
class Listener:
    """Told what happens; by default nothing listens.

    `awaited` is called before each step, may wait, and returns fields for the step's line.
    """

    replayed: Callable[[int], None] = lambda steps: None
    stepped: Callable[[MezoStep | AdamStep, float], None] = lambda step, seconds: None
    evaluated: Callable[[int, Evaluation], None] = lambda step, evaluation: None
    said: Callable[[str], None] = lambda line: None
    awaited: Callable[[], dict] = dict


@dataclass(frozen=True)
class Trained:
    """The end of a run, or of this part of it.

    Attributes:
      last_step: the last one taken.
      best_step: of the dev evaluations; the last one without any.
      step_seconds: median of the steps taken here, 0 of none.
      peak: memory.
      stopped: whether a signal ended it early.
    """

    last_step: int
    best_step: int
    step_seconds: float
    peak: Peak
    stopped: bool = False


def dev_evaluations(
    model: Model,
    folder: Path,
    last: int,
    dev: Dataset | None,
    eval_every: int,
    listener: Listener,
    before_record: Callable[[Evaluated], None] = lambda record: None,
) -> tuple[Callable[[int], None], Callable[[int], bool]]:
    """Returns (what to call after each step, whether it will evaluate and record at a step).

    Args:
      model: holds the parameters.
      folder: the run directory.
      last: the run's last step.
      dev: examples to choose the best step by, or None.
      eval_every: steps between evaluations; 0 evaluates at the start and the end only.
      listener: told of the evaluations.
      before_record: told of each too, before it counts.
    """
    recorded = {record.step for record in read_evaluations(folder, dev.sha256)} if dev else set()

    def is_missing(step):
        due = step in (0, last) or (eval_every and step % eval_every == 0)
        return bool(dev and due and step not in recorded)

    def evaluate_dev(step):
        if not is_missing(step):
            return
        found = evaluate(model, dev)
        if not math.isfinite(found.loss):
            raise LossError(f"step {step}: the dev loss is not finite")
        record = Evaluated(
            step, found.accuracy, found.loss, found.examples, dev.sha256, found.metrics
        )
        before_record(record)
        append_evaluation(folder, record)
        listener.evaluated(step, found)

    return evaluate_dev, is_missing


def check_last_step(model: Model, batches: Sequence[Batch], last: int) -> None:
    """Raises LossError if the last update ruined the parameters; no later step would show it."""
    if batches and not math.isfinite(model.loss(batches)):
        raise LossError(f"step {last}: the loss after it is not finite")
