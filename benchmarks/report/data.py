"""Run directories as a report reads them, and the figures taken from them."""

import sys
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.generate.samples import Sample, read_samples
from pocketllm.runtime.health.record import read_warnings
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.journal.lines import (
    METRICS,
    Evaluated,
    best_evaluation,
    known_values,
    read_evaluations,
    read_steps,
)
from pocketllm.runtime.optim.interface import Step
from pocketllm.runtime.rates.record import Choice, read_choice
from pocketllm.runtime.run.folder import CONFIG, optimizer_in
from pocketllm.runtime.run.sessions import Session, read_sessions

from .samples import samples_of

WINDOW_SHARE, LARGEST_WINDOW = 20, 200


@dataclass(frozen=True)
class Cost:
    """What a step took, as its line in `metrics.jsonl` says: seconds, and peak memory in bytes."""

    step: int
    seconds: float
    peak_anon_bytes: int
    peak_rss_bytes: int


@dataclass(frozen=True)
class Run:
    """A run directory as read.

    Attributes:
      name: the shortest end of its path that no other run of the report has.
      folder: as it was given.
      config: its config.json.
      optimizer: as config.json names it.
      steps: what each step measured, at least one.
      costs: what each step took.
      evaluations: on the dev set that was evaluated last, none beyond the last step.
      sessions: what made the steps, empty for a run that does not say.
      warnings: why it cannot work as it is.
      samples: what the model wrote at the evaluations.
      measured: what it measured before its first step, and chose; None of one that did not.
    """

    name: str
    folder: Path
    config: dict
    optimizer: str
    steps: tuple[Step, ...]
    costs: tuple[Cost, ...]
    evaluations: tuple[Evaluated, ...]
    sessions: tuple[Session, ...]
    warnings: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()
    measured: Choice | None = None


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Reads run directories; writes nothing.

    Raises:
      InputError: one is no run, holds no steps or a damaged line, or is given twice.
    """
    resolved = [Path(folder).resolve() for folder in folders]
    for folder, path in zip(folders, resolved):
        if resolved.count(path) > 1:
            raise InputError(f"{folder}: given twice (as {path}); give every run once")
    return [_read(Path(folder), name) for folder, name in zip(folders, _names(resolved))]


def summarise(run: Run) -> dict:
    """Returns a run's row of the table and more for programs; None where unknown."""
    losses = known_losses(run)
    lowest = min(losses, key=lambda point: point[1], default=(None, None))
    best = best_evaluation(run.evaluations)
    last = run.sessions[-1] if run.sessions else None
    return {
        "run": run.name,
        "folder": str(run.folder).encode(errors="replace").decode(),  # names are bytes
        "optimizer": run.optimizer,
        "model": last and last.model,
        "task": last and last.task,
        "bundle_checksum": run.config.get("bundle_checksum"),
        "steps": run.steps[-1].step,
        "first_loss": losses[0][1] if losses else None,
        "last_loss": losses[-1][1] if losses else None,
        "lowest_loss": lowest[1],
        "lowest_loss_step": lowest[0],
        "best_dev_accuracy": best and best.accuracy,
        "best_dev_loss": best and best.loss,
        "dev_tokens": best and best.tokens,
        "best_dev_step": best and best.step,
        "dev_examples": best and best.examples,
        "dev_sha256": best and best.data_sha256,
        "median_of_steps": smoothing_window(run),
        "step_seconds": median(cost.seconds for cost in run.costs),
        "peak_anon_bytes": max(cost.peak_anon_bytes for cost in run.costs) or None,
        "peak_rss_bytes": max(cost.peak_rss_bytes for cost in run.costs) or None,
        "warnings": list(run.warnings),
        "measured": run.measured.summary() if run.measured else None,
        "samples": samples_of(run.samples, run.steps[-1].step),
        "config": run.config,
        "sessions": [asdict(session) for session in run.sessions],
    }


def known_losses(run: Run) -> list[tuple[int, float]]:
    """Returns (step, loss) of a run, none of a private federation's: no client sends losses."""
    return [] if run.config.get("private") else [(step.step, step.loss) for step in run.steps]


def smoothing_window(run: Run) -> int:
    """Returns the number of steps whose median is drawn: odd, about one in WINDOW_SHARE."""
    return min(LARGEST_WINDOW, len(run.steps) // WINDOW_SHARE) // 2 * 2 + 1


def running_median(values: Sequence[float], window: int) -> list[float]:
    """Returns the median of each value and window // 2 on either side, fewer at the ends."""
    half, within, medians = window // 2, [], []
    for value in values[:half]:
        insort(within, value)
    for number in range(len(values)):
        if number + half < len(values):
            insort(within, values[number + half])
        if number - half > 0:
            del within[bisect_left(within, values[number - half - 1])]
        medians.append(median(within))
    return medians


def _read(folder, name):
    config = read_json(folder / CONFIG, "give the run directory of `pocketllm train`")
    optimizer = optimizer_in(config, folder / CONFIG)
    steps = read_steps(folder, optimizer.step, gaps=True)
    costs = read_steps(folder, Cost, gaps=True)[: len(steps)]  # the run may be going on
    if not steps:
        raise InputError(f"{folder}: holds no steps yet; report it when it has some")
    for step, cost in zip(steps, costs):
        # Written so that it also refuses NaN, and integers beyond any float.
        numbers = _numbers({**known_values(step), **asdict(cost)})
        if not all(abs(number) <= sys.float_info.max for number in numbers):
            raise InputError(f"{folder / METRICS}: line {step.step} holds what is no finite number")
    return Run(
        name,
        folder,
        config,
        optimizer.name,
        tuple(steps),
        tuple(costs),
        tuple(entry for entry in read_evaluations(folder) if entry.step <= steps[-1].step),
        tuple(read_sessions(folder)),
        tuple(warning.text for warning in read_warnings(folder)),
        tuple(read_samples(folder)),
        read_choice(folder, config.get("lr")),
    )


def _numbers(fields):
    """Yields the numbers of a line's fields, those in lists too."""
    for value in fields.values():
        yield from value if isinstance(value, tuple) else [value]


def _names(paths):
    """Returns as many last parts of every path as make them all different."""
    for count in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            break
    # A line break in a folder's name would break the table.
    return ["".join(c if c.isprintable() else "?" for c in name) for name in names]
