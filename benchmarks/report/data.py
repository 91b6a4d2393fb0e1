"""What a report says about a run: its lines read, and the figures taken from them."""

import sys
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from pocketllm.runtime.contract import ADAM, MEZO
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.optim.mezo import MezoStep
from pocketllm.runtime.run.folder import CONFIG
from pocketllm.runtime.run.lines import (
    METRICS,
    Evaluated,
    best_evaluation,
    read_evaluations,
    read_steps,
)
from pocketllm.runtime.run.sessions import Session, read_sessions

WINDOW_SHARE, LARGEST_WINDOW = 20, 200


@dataclass(frozen=True)
class MezoLine(MezoStep):
    """A MeZO step as `metrics.jsonl` holds it."""

    seconds: float
    peak_anon_bytes: int
    peak_rss_bytes: int

    @property
    def loss(self) -> float:
        """The step's minibatch loss: the mean of those on both sides of the parameters."""
        return (self.loss_plus + self.loss_minus) / 2


@dataclass(frozen=True)
class AdamLine:
    """A step along the gradient as `metrics.jsonl` holds it."""

    step: int
    loss: float
    lr: float
    seconds: float
    peak_anon_bytes: int
    peak_rss_bytes: int


# optimizer in config.json -> its lines; MeZO's runs need not name it
LINES = {MEZO: MezoLine, ADAM: AdamLine}


@dataclass(frozen=True)
class Run:
    """A run directory as read.

    Attributes:
      name: the shortest end of its path that no other run of the report has.
      folder: as it was given.
      config: its config.json.
      optimizer: a key of LINES.
      lines: one a step, at least one.
      evaluations: on the dev set that was evaluated last, none beyond the last step.
      sessions: what made the steps, empty for a run that does not say.
    """

    name: str
    folder: Path
    config: dict
    optimizer: str
    lines: tuple[MezoLine | AdamLine, ...]
    evaluations: tuple[Evaluated, ...]
    sessions: tuple[Session, ...]


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
    """Returns a run's row of the table, and what programs want besides; None where unknown."""
    losses = [line.loss for line in run.lines]
    lowest = losses.index(min(losses))
    best = best_evaluation(run.evaluations)
    last = run.sessions[-1] if run.sessions else None
    return {
        "run": run.name,
        "folder": str(run.folder).encode(errors="replace").decode(),  # names are bytes
        "optimizer": run.optimizer,
        "model": last and last.model,
        "task": last and last.task,
        "bundle_sha256": run.config.get("bundle_sha256"),
        "steps": run.lines[-1].step,
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "lowest_loss": losses[lowest],
        "lowest_loss_step": run.lines[lowest].step,
        "best_dev_accuracy": best and best.accuracy,
        "best_dev_step": best and best.step,
        "dev_examples": best and best.examples,
        "dev_sha256": best and best.data_sha256,
        "median_of_steps": smoothing_window(run),
        "step_seconds": median(line.seconds for line in run.lines),
        "peak_anon_bytes": max(line.peak_anon_bytes for line in run.lines) or None,
        "peak_rss_bytes": max(line.peak_rss_bytes for line in run.lines) or None,
        "config": run.config,
        "sessions": [asdict(session) for session in run.sessions],
    }


def smoothing_window(run: Run) -> int:
    """Returns the number of steps whose median is drawn: odd, about one in WINDOW_SHARE."""
    return min(LARGEST_WINDOW, len(run.lines) // WINDOW_SHARE) // 2 * 2 + 1


def running_median(values: Sequence[float], window: int) -> list[float]:
    """Returns the median of each value and window // 2 on either side, fewer at the ends."""
    half, held, medians = window // 2, [], []
    for value in values[:half]:
        insort(held, value)
    for number in range(len(values)):
        if number + half < len(values):
            insort(held, values[number + half])
        if number - half > 0:
            del held[bisect_left(held, values[number - half - 1])]
        medians.append(median(held))
    return medians


def _read(folder, name):
    config = read_json(folder / CONFIG, "give the run directory of `pocketllm train`")
    optimizer = config.get("optimizer", MEZO)
    if optimizer not in tuple(LINES):
        raise InputError(
            f"{folder / CONFIG}: the optimizer is {optimizer!r}, expected {' or '.join(LINES)}"
        )
    lines = read_steps(folder, LINES[optimizer], gaps=optimizer == MEZO)
    if not lines:
        raise InputError(f"{folder}: holds no steps yet; report it when it has some")
    for line in lines:
        # Written so that it also refuses NaN, and integers beyond any float.
        if not all(abs(value) <= sys.float_info.max for value in asdict(line).values()):
            raise InputError(f"{folder / METRICS}: line {line.step} holds what is no finite number")
    evaluations = [held for held in read_evaluations(folder) if held.step <= lines[-1].step]
    sessions = read_sessions(folder)
    return Run(name, folder, config, optimizer, tuple(lines), tuple(evaluations), tuple(sessions))


def _names(paths):
    """Returns as many last parts of every path as make them all different."""
    for count in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            break
    # A line break in a folder's name would break the table.
    return ["".join(c if c.isprintable() else "?" for c in name) for name in names]
