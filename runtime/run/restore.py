"""Bringing a model to a step of a run, whichever kind of run it is."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import contract
from ..bundle.manifest import Bundle
from ..engine.model import Model
from ..errors import InputError
from ..journal.lines import best_step
from ..optim.applied import Applied
from ..optim.interface import JOURNALLED, KEPT
from .folder import read_run
from .parameters import check_kept, load_parameters
from .replay import replay
from .sessions import engine_warnings
from .snapshots import restore


@dataclass(frozen=True)
class RunPoint:
    """A step of a run.

    Attributes:
      folder: the run directory, None for the untuned bundle.
      step: 0 before the first.
      kind: of the run, JOURNALLED or KEPT; None without a run.
      applied: of a journalled run, what the steps up to this one did.
    """

    folder: Path | None
    step: int
    kind: str | None
    applied: Sequence[Applied]

    @property
    def calls(self) -> frozenset[str]:
        """Stems of the signatures that bringing a model here calls."""
        passes = contract.PERTURB_AND_UPDATE, contract.PERTURB_AND_DECAY
        return frozenset(passes if self.kind == JOURNALLED else ())


@dataclass(frozen=True)
class Redone:
    """The steps that were done again, behind the newest snapshot.

    Attributes:
      steps: their number.
      seconds: that it took.
      warnings: why the parameters may not be the run's to the bit.
    """

    steps: int
    seconds: float
    warnings: tuple[str, ...] = ()


UNTUNED = RunPoint(None, 0, None, ())


def point_of(folder: Path, bundle: Bundle, at_step: int | None = None) -> RunPoint:
    """Finds a step of a run, by default the best dev step, the last without dev evaluations.

    Raises:
      InputError: no run, one of another bundle, or without this step or its parameters.
    """
    run = read_run(folder, bundle)
    step = best_step(folder, run.count) if at_step is None else at_step
    if not 0 <= step <= run.count:
        raise InputError(f"--at_step={step}: the run holds steps 0 to {run.count}")
    if run.kind == KEPT:
        check_kept(folder, step, run.checksums[step])
    return RunPoint(folder, step, run.kind, run.applied[:step])


def bring_to(
    model: Model,
    point: RunPoint,
    progress: Callable[[int], None] = lambda steps: None,
    say: Callable[[str], None] = lambda line: None,
) -> Redone:
    """Brings a model's parameters from the bundle's values to those after a step of a run.

    Args:
      model: initialised to the bundle's values.
      point: where to.
      progress: told how many steps more are done.
      say: told of a snapshot that cannot be used, and of warnings.
    """
    if point.folder is None or point.step == 0:
        return Redone(0, 0.0)
    if point.kind == KEPT:
        load_parameters(model, point.folder, point.step)
        return Redone(0, 0.0)
    warnings = tuple(w.text for w in engine_warnings(point.folder, model, point.step))
    for text in warnings:
        say(f"warning: {text}")
    restored = restore(model, point.folder, point.step, say)
    progress(restored)
    started = time.monotonic()
    replay(model, point.applied[restored:], progress)
    return Redone(point.step - restored, time.monotonic() - started, warnings)
