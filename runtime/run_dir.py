"""A run's folder: its `config.json`, whom it belongs to, and beginning or continuing it.

MeZO's steps are the run: (seed, projected_grad, lr) of each, with the bundle, give its parameters.
Adam's do not: such a run keeps parameters, and cannot be continued.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from . import contract
from .adam import AdamHyperparameters, AdamStep
from .errors import InputError, RunError
from .files import read_json, write_json
from .mezo import Hyperparameters, Step
from .records import cut_torn_lines, read_steps, typed

CONFIG, LOCK = "config.json", ".lock"
# optimizer -> (its hyperparameters, its steps); a MeZO run's config.json does not name it
KINDS = {
    contract.MEZO: (Hyperparameters, Step),
    contract.ADAM: (AdamHyperparameters, AdamStep),
}


@dataclass(frozen=True)
class RunConfig:
    """What a run's steps depend on; a run directory never changes it.

    Attributes:
      bundle_sha256: of the bundle's model file.
      train_sha256: of the training data.
      batch_size: examples a step.
      seed: chooses the batches and directions.
      settings: hyperparameters; their type says which optimizer.
      split: "TRAIN/DEV" examples drawn from the training data, None for all of it.
    """

    bundle_sha256: str
    train_sha256: str
    batch_size: int
    seed: int
    settings: Hyperparameters | AdamHyperparameters
    split: str | None = None

    @property
    def optimizer(self) -> str:
        """A key of KINDS."""
        return next(name for name, kinds in KINDS.items() if kinds[0] is type(self.settings))


def steps_so_far(folder: Path, config: RunConfig) -> list[Step] | list[AdamStep]:
    """Returns the steps that a run directory holds, none for a new one; writes nothing.

    Args:
      folder: may not exist yet.
      config: of this run. In a directory that holds a run, everything must be the same but the
        number of steps of a constant schedule.

    Raises:
      InputError: the folder holds a run with another config, or something else, or part of an
        Adam run.
    """
    folder = Path(folder)
    path = folder / CONFIG
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or {p.name for p in folder.iterdir()} - {LOCK}):
            raise InputError(f"{folder}: exists and holds no run; choose another --run")
        return []
    held, described = read_json(path, "choose another --run"), _described(config)
    if (optimizer := _optimizer(held, path)) != config.optimizer:
        raise InputError(
            f"{path}: holds a run with --optimizer={optimizer}, this one is {config.optimizer}; "
            "choose another --run"
        )
    differing = [
        name
        for name in sorted(set(held) | set(described))
        if held.get(name) != described.get(name)
        and not (name == "steps" and config.settings.lr_schedule == "constant")
    ]
    if differing:
        changes = ", ".join(f"{n} {held.get(n)!r} -> {described.get(n)!r}" for n in differing)
        raise InputError(
            f"{path}: holds a run with another config ({changes}); choose another --run"
        )
    steps = read_steps(folder, KINDS[optimizer][1])
    if optimizer == contract.ADAM and len(steps) not in (0, config.settings.steps):
        raise InputError(
            f"{folder}: an Adam run of {len(steps)} steps, found --steps={config.settings.steps}; "
            "it cannot be continued (Adam's moments are not kept), choose another --run"
        )
    if len(steps) > config.settings.steps:
        raise InputError(
            f"{folder}: holds {len(steps)} steps, more than --steps={config.settings.steps}; "
            "raise --steps, or look at an earlier step with `pocketllm eval --at_step`"
        )
    return steps


def start_or_continue(folder: Path, config: RunConfig) -> list[Step] | list[AdamStep]:
    """Prepares a run directory for more steps; returns the steps taken before.

    Arguments and errors are those of `steps_so_far`.
    """
    steps = steps_so_far(folder, config)
    cut_torn_lines(folder)
    write_json(Path(folder) / CONFIG, _described(config))
    return steps


def read_run(
    folder: Path, bundle_sha256: str
) -> tuple[Hyperparameters, list[Step]] | tuple[AdamHyperparameters, list[AdamStep]]:
    """Reads a run for bringing a bundle to where it led; the settings' type says how.

    Raises:
      InputError: no run, a damaged one, or one of another bundle.
    """
    path = Path(folder) / CONFIG
    held = read_json(path, "give the --run directory of `pocketllm train`")
    if held.get("bundle_sha256") != bundle_sha256:
        raise InputError(
            f"{path}: the run belongs to bundle {str(held.get('bundle_sha256'))[:12]}…, this one "
            f"is {bundle_sha256[:12]}…; give the bundle it was trained from"
        )
    settings_kind, step_kind = KINDS[_optimizer(held, path)]
    try:
        settings = typed(settings_kind, held)
    except ValueError as error:
        raise InputError(f"{path}: {error}; the file was altered") from error
    return settings, read_steps(folder, step_kind)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keeps every other process out of a run directory, which is made if need be.

    Raises:
      InputError: another process holds it.
    """
    path = Path(folder) / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be written: {error.strerror}; choose another --run"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{folder}: another process trains in it; wait for that, or choose another --run"
            ) from error
        yield


def _optimizer(held, path):
    optimizer = held.get("optimizer", contract.MEZO)
    if optimizer not in tuple(KINDS):
        raise InputError(
            f"{path}: the optimizer is {optimizer!r}, expected {' or '.join(KINDS)}; the file was "
            "altered"
        )
    return optimizer


def _described(config):
    values = asdict(config)
    if config.split is None:
        del values["split"]
    if config.optimizer != contract.MEZO:
        values["optimizer"] = config.optimizer
    return values.pop("settings") | values
