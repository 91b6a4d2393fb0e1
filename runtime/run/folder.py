"""A run's folder: its `config.json`, whom it belongs to, and beginning or continuing it.

MeZO's steps are the run: with the bundle, its journal gives the parameters. Adam's are not: such a
run keeps parameters, and cannot be continued.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from .. import contract
from ..errors import InputError
from ..host.files import drop_partial, read_json, write_json
from ..host.typed_json import typed
from ..optim.adam import AdamSettings, AdamStep
from ..optim.mezo import MezoSettings, MezoStep
from .journal import JOURNAL, new_journal, read_journal
from .lines import METRICS, cut_lines_beyond, cut_torn_lines, read_steps
from .lock import LOCK

CONFIG = "config.json"
DAMAGED = "restore the file from a copy, or choose another --run"
# optimizer -> its hyperparameters; a MeZO run's config.json does not name it
KINDS = {contract.MEZO: MezoSettings, contract.ADAM: AdamSettings}


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
      noise: of a MeZO run, one of contract.NOISE_KINDS.
    """

    bundle_sha256: str
    train_sha256: str
    batch_size: int
    seed: int
    settings: MezoSettings | AdamSettings
    split: str | None = None
    noise: str | None = None

    @property
    def optimizer(self) -> str:
        """A key of KINDS."""
        return next(name for name, kind in KINDS.items() if kind is type(self.settings))


def steps_so_far(folder: Path, config: RunConfig) -> list[MezoStep] | list[AdamStep]:
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
    held, described = read_json(path, DAMAGED), _described(config)
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
    if optimizer == contract.MEZO:
        steps = _journalled(folder, described)
    else:
        steps = read_steps(folder, AdamStep)
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


def start_or_continue(folder: Path, config: RunConfig) -> list[MezoStep] | list[AdamStep]:
    """Prepares a run directory for more steps; returns the steps taken before.

    Arguments and errors are those of `steps_so_far`.
    """
    steps = steps_so_far(folder, config)
    cut_torn_lines(folder)
    drop_partial(folder)
    described = _described(config)
    write_json(Path(folder) / CONFIG, described)
    if config.optimizer == contract.MEZO:
        cut_lines_beyond(folder, len(steps))
        if not (Path(folder) / JOURNAL).exists():
            new_journal(Path(folder) / JOURNAL, _header(described))
    return steps


def read_run(
    folder: Path, bundle_sha256: str
) -> tuple[MezoSettings, list[MezoStep]] | tuple[AdamSettings, list[AdamStep]]:
    """Reads a run for bringing a bundle to where it led; the settings' type says how.

    Raises:
      InputError: no run, a damaged one, or one of another bundle.
    """
    path = Path(folder) / JOURNAL
    if path.exists():
        journal = read_journal(path)
        held, steps = journal.header | {"steps": len(journal.steps)}, journal.steps
    else:
        path = Path(folder) / CONFIG
        held = read_json(path, "give the --run directory of `pocketllm train`")
        _check_journalled(folder, held, path)
        steps = read_steps(folder, AdamStep)
    if held.get("bundle_sha256") != bundle_sha256:
        raise InputError(
            f"{path}: the run belongs to bundle {str(held.get('bundle_sha256'))[:12]}…, this one "
            f"is {bundle_sha256[:12]}…; give the bundle it was trained from"
        )
    try:
        return typed(KINDS[_optimizer(held, path)], held, further=True), steps
    except ValueError as error:
        raise InputError(f"{path}: {error}; the file was altered") from error


def describe_torn_end(folder: Path) -> str | None:
    """Says what stands at the end of a run's journal and never came to count; None if nothing."""
    path = Path(folder) / JOURNAL
    if not path.exists() or not (held := read_journal(path)).torn_bytes:
        return None
    return (
        f"{path}: the last {held.torn_bytes} bytes are of a step that was not finished; the run "
        f"holds {len(held.steps)} steps"
    )


def _journalled(folder, described):
    """Returns a MeZO run's steps, none where it was stopped before its journal was made."""
    path = Path(folder) / JOURNAL
    if not path.exists():
        _check_journalled(folder, described, path)
        return []
    journal, expected = read_journal(path), _header(described)
    differing = [n for n in sorted(expected) if journal.header.get(n) != expected[n]]
    if differing:
        raise InputError(
            f"{path}: belongs to another run than {CONFIG} beside it ({', '.join(differing)}); "
            "choose another --run"
        )
    return journal.steps


def _check_journalled(folder, held, path):
    """Raises InputError where a MeZO run has lines and no journal."""
    steps = (Path(folder) / METRICS).exists() and held.get("optimizer", contract.MEZO)
    if steps == contract.MEZO:
        raise InputError(
            f"{folder}: a MeZO run without its {JOURNAL}, which holds its steps; it was made by an "
            "earlier version or the file was removed: restore it, or choose another --run"
        )


def _header(described):
    """Returns a journal's header; `steps` may be raised later, and is no part of it."""
    return {k: v for k, v in described.items() if k != "steps"} | {
        "format_version": contract.FORMAT_VERSION
    }


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
    values = {name: value for name, value in values.items() if value is not None}
    if config.optimizer != contract.MEZO:
        values["optimizer"] = config.optimizer
    return values.pop("settings") | values
