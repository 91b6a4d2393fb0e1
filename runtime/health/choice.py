"""Warnings about how a run's best step is chosen."""

from collections.abc import Iterator, Sequence

from ..journal.lines import Evaluated
from .record import RunWarning
from .steps import diverged, highest_loss

ONE_EVALUATION = "one-evaluation"
KINDS = (ONE_EVALUATION,)


def choice_warnings(last: int, eval_every: int, evaluated: Sequence[int]) -> Iterator[RunWarning]:
    """Yields that the best step is one of two, the untuned and the only one evaluated.

    Args:
      last: the run's last step.
      eval_every: steps between evaluations, 0 for none between.
      evaluated: steps that were evaluated before.
    """
    due = set(range(eval_every, last, eval_every)) if eval_every else set()
    steps = {step for step in (*due, *evaluated, last) if step > 0}
    if last > 1 and len(steps) == 1:
        yield RunWarning(
            ONE_EVALUATION,
            f"the best step is chosen from one evaluation, that of step {last}: nothing says "
            "whether an earlier one was better; give --eval_every",
        )


def dev_loss_warnings(
    evaluations: Sequence[Evaluated], smaller: str = "--lr"
) -> Iterator[RunWarning]:
    """Yields a dev loss that left its start, in order of steps; `smaller` as StepWatch has it."""
    for evaluation in evaluations[1:]:
        if evaluation.loss > highest_loss(evaluations[0].loss):
            what = f"step {evaluation.step}: the dev loss"
            yield diverged(what, evaluations[0].loss, evaluation.loss, smaller)
            return
