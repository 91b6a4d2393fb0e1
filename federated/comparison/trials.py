"""Runs the trials of a comparison, each once, in this process: all of them on one open model.

A trial NAME has the run directory DIR/runs/NAME and the file DIR/results/NAME.json, which is
written last. A client's directory is temporary: who lost his disk is sent all records again.
"""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import cast

from pocketllm.benchmarks.bench.race.again import once
from pocketllm.benchmarks.bench.race.arms import Trial
from pocketllm.benchmarks.report.data import read_runs
from pocketllm.runtime.data.dataset import Dataset
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.errors import LossError
from pocketllm.runtime.host.files import make_folders
from pocketllm.runtime.optim.mezo import MezoSettings
from pocketllm.runtime.run.evaluate import evaluate
from pocketllm.runtime.run.folder import RunConfig, read_run
from pocketllm.runtime.run.loop import train
from pocketllm.runtime.run.replay import replay

from ..privacy.plan import FederationConfig
from ..rounds import serve
from ..simulation.in_process import grid_of
from ..simulation.parts import drawn_parts
from ..steps import NO_DATA
from ..terms import Terms, TooFewAnswersError
from .arms import ComparedArm
from .lies import LIARS_SHARE, lying

RUNS, RESULTS = "runs", "results"


@dataclass(frozen=True)
class Course:
    """What all trials share.

    Attributes:
      out: DIR.
      model: an open bundle.
      data: training examples, of all clients together.
      dev: examples that choose learning rates.
      held_out: examples that choose nothing.
      clients: of a federation of many.
      per_round: of them in a round.
      batch_size: of a client.
      say: told what clients refuse.
    """

    out: Path
    model: Model
    data: Dataset
    dev: Dataset
    held_out: Dataset
    clients: int
    per_round: int
    batch_size: int
    say: Callable[[str], None] = lambda line: None


def run_trial(course: Course, trial: Trial) -> dict:
    """Runs a trial unless it is finished; returns its result.

    Returns:
      {"arm", "lr", "seed", "steps": those that it took, "curve": [{"step", "seconds", "accuracy",
      "loss"}] on the dev examples, "held_out": {"accuracy", "loss"} after its last step or None}.

    Raises:
      KeyboardInterrupt: a signal ended it; the steps before are kept.
    """
    path = course.out / RESULTS / f"{trial.name}.json"
    return once(path, lambda: _result(course, trial))


def parts_of(course: Course, arm: ComparedArm, seed: int) -> list[Dataset]:
    """Returns the data of each client of an arm, of one that has all of them for no federation."""
    data = course.data
    labels = [example.golds[0] if example.golds else 0 for example in data.examples]
    count = course.per_round if arm.everybody else course.clients
    alpha = math.inf if arm.alpha is None else arm.alpha
    parts = drawn_parts(labels, count, alpha, seed)
    if arm.alpha is None:
        parts = [sorted(place for part in parts for place in part)]
    return [replace(data, examples=[data.examples[place] for place in part]) for part in parts]


def _result(course, trial):
    run, arm = course.out / RUNS / trial.name, cast(ComparedArm, trial.arm)
    make_folders(run.parent)
    course.model.initialize()
    try:
        is_stopped = (_trained if arm.alpha is None else _served)(course, trial, run)
    except (LossError, TooFewAnswersError):
        is_stopped = False  # it led to where no loss is finite; that is its result
    if is_stopped:
        raise KeyboardInterrupt
    result = {"arm": arm.name, "lr": trial.lr, "seed": trial.seed}
    return result | _evaluated(course, trial, run)


def _settings(course, trial):
    eps = course.model.bundle.default_eps
    return MezoSettings(trial.lr, eps, 0.0, trial.arm.schedule, trial.steps)


def _trained(course, trial, run):
    """Trains on all data; returns whether a signal ended it."""
    (data,) = parts_of(course, trial.arm, trial.seed)
    rows = trial.arm.rows(course.batch_size, course.per_round)
    settings = _settings(course, trial)
    config = RunConfig.of(course.model.bundle, data, settings, batch_size=rows, seed=trial.seed)
    return train(course.model, data, run, config).stopped


def _served(course, trial, run):
    """Runs a federation; returns whether a signal ended it."""
    arm, bundle = trial.arm, course.model.bundle
    parts = parts_of(course, arm, trial.seed)
    config = FederationConfig(
        bundle.checksum,
        NO_DATA,
        course.batch_size,
        trial.seed,
        _settings(course, trial),
        noise=bundle.noise["kind"],
    )
    share = course.per_round / len(parts)
    terms = Terms(rule=arm.rule, share=share, quorum=1.0, patience=3, poll_seconds=0.0)
    altered = lying(arm.lie, len(parts) // LIARS_SHARE)
    with tempfile.TemporaryDirectory(prefix="pocketllm-") as folder:
        grid = grid_of(course.model, parts, Path(folder), course.say, altered=altered)
        return serve(run, config, terms, grid).stopped


def _evaluated(course, trial, run):
    """Returns what the examples say of the parameters that a run went through."""
    model, points, at = course.model, [], 0
    steps = read_run(run, model.bundle).applied
    seconds = [0.0]
    if steps:
        (record,) = read_runs([run])
        seconds = [0.0, *accumulate(cost.seconds for cost in record.costs)]
    model.initialize()
    for step in sorted({*range(0, len(steps) + 1, trial.eval_every), len(steps)}):
        replay(model, steps[at:step])
        at, evaluation = step, evaluate(model, course.dev)
        if math.isfinite(evaluation.loss):
            point = {"accuracy": evaluation.accuracy, "loss": evaluation.loss}
            points.append({"step": step, "seconds": seconds[step]} | point)
    held_out = evaluate(model, course.held_out) if trial.compared else None
    return {
        "steps": len(steps),
        "curve": points or None,
        "held_out": held_out
        and {
            "accuracy": held_out.accuracy,
            "loss": held_out.loss if math.isfinite(held_out.loss) else None,
        },
    }
