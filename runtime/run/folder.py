"""A run's folder: its `config.json`, whom it belongs to, and beginning or continuing it.

The steps of a journalled run are the run: with the bundle, its journal gives the parameters. Those
of a kept run need the data: its journal says what they measured, and it keeps parameters.
"""

import os
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path

from .. import contract
from ..bundle.contents import Bundle
from ..data.dataset import Dataset
from ..errors import InputError
from ..host.files import read_json, replace_json
from ..host.lock import LOCK
from ..host.partials import NAME, sweep
from ..journal.descents import DESCENTS
from ..journal.lines import METRICS, cut_lines_beyond, cut_torn_lines
from ..journal.reader import JOURNAL, check_version, read_journal
from ..journal.records import APPLIED
from ..journal.writer import new_journal
from ..optim.applied import Applied
from ..optim.gradients import Descent
from ..optim.interface import JOURNALLED, KEPT, Optimizer, Settings
from ..optim.table import OPTIMIZERS, optimizer_of
from ..rates.record import MEASURED

CONFIG = "config.json"
LAYOUTS = {JOURNALLED: APPLIED, KEPT: DESCENTS}
DAMAGED = "restore the file from a copy, or choose another --run"


@dataclass(frozen=True)
class RunConfig:
    """What a run's steps depend on; a run directory never changes it.

    Attributes:
      bundle_checksum: of the bundle, see bundle/checksum.py.
      train_sha256: of the training data.
      batch_size: examples a step.
      seed: chooses the batches and directions.
      settings: of the optimizer; their type says which.
      split: "TRAIN/DEV" examples drawn from the training data, None for all of it.
      noise: of a journalled run, one of contract.NOISE_KINDS.
    """

    bundle_checksum: str
    train_sha256: str
    batch_size: int
    seed: int
    settings: Settings
    split: str | None = None
    noise: str | None = None

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        data: Dataset,
        settings: Settings,
        *,
        batch_size: int,
        seed: int,
        split: str | None = None,
    ) -> "RunConfig":
        """Returns the config of a run of a bundle on training data; the rest as above."""
        is_journalled = optimizer_of(settings).kind == JOURNALLED
        noise = bundle.noise["kind"] if is_journalled else None
        return cls(bundle.checksum, data.sha256, batch_size, seed, settings, split, noise)

    @property
    def optimizer(self) -> Optimizer:
        """The one of the settings."""
        return optimizer_of(self.settings)


@dataclass(frozen=True)
class StoredRun:
    """A run as its folder holds it.

    Attributes:
      kind: JOURNALLED or KEPT.
      description: what its steps depend on, as config.json or the journal's header says it.
      count: of its steps.
      applied: of a journalled run, what each step did; none of a kept one.
      checksums: of the journal's header, and of each step's record.
    """

    kind: str
    description: dict
    count: int
    applied: Sequence[Applied]
    checksums: Sequence[int]


def steps_so_far(folder: Path, config: RunConfig) -> Sequence[Applied] | Sequence[Descent]:
    """Returns the steps that a run directory holds, none for a new one; writes nothing.

    Args:
      folder: may not exist yet.
      config: of this run. In a directory that holds a run, everything must be the same but the
        number of steps of a constant schedule.

    Raises:
      InputError: the folder holds a run with another config, or something else.
    """
    folder = Path(folder)
    path = folder / CONFIG
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(map(_is_foreign, os.listdir(folder)))):
            raise InputError(f"{folder}: exists and holds no run; choose another --run")
        return []
    _check_config(path, config)
    steps = _recorded_steps(folder, config)
    if len(steps) > config.settings.steps:
        raise InputError(
            f"{folder}: holds {len(steps)} steps, more than --steps={config.settings.steps}; "
            "raise --steps, or look at an earlier step with `pocketllm eval --at_step`"
        )
    return steps


def start_or_continue(folder: Path, config: RunConfig) -> Sequence[Applied] | Sequence[Descent]:
    """Prepares a run directory for more steps; returns the steps taken before.

    Arguments and errors are those of `steps_so_far`.
    """
    folder = Path(folder)
    steps = steps_so_far(folder, config)
    cut_torn_lines(folder, config.optimizer.step)
    sweep(folder)
    description = _description(config)
    replace_json(folder / CONFIG, description)
    cut_lines_beyond(folder, len(steps))
    if not (folder / JOURNAL).exists():
        new_journal(folder / JOURNAL, _header(description), LAYOUTS[config.optimizer.kind])
    return steps


def read_run(folder: Path, bundle: Bundle) -> StoredRun:
    """Reads a run for bringing a bundle to where it led.

    Raises:
      InputError: no run, a damaged one, or one of another bundle.
    """
    path = Path(folder) / JOURNAL
    if path.exists():
        journal = read_journal(path)
        is_kept = journal.layout is DESCENTS
        run = StoredRun(
            KEPT if is_kept else JOURNALLED,
            journal.header,
            len(journal.steps),
            () if is_kept else journal.steps,
            journal.checksums,
        )
    else:
        path = Path(folder) / CONFIG
        description = read_json(path, "give the --run directory of `pocketllm train`")
        kind = optimizer_in(description, path).kind
        _check_unbegun(folder)
        run = StoredRun(kind, description, 0, (), (0,))
    _check_bundle(path, run.description, bundle.checksum)
    return run


def optimizer_in(description: dict, path: Path) -> Optimizer:
    """Returns the optimizer that a config.json names.

    Raises:
      InputError: none, or none that is known; or the journal beside it is of an earlier version,
        whose config.json names none.
    """
    name = description.get("optimizer")
    if name is None:
        check_version(path.parent / JOURNAL)
    if name not in tuple(OPTIMIZERS):
        raise InputError(
            f"{path}: the optimizer is {name!r}, expected {' or '.join(OPTIMIZERS)}; the file was "
            "altered, or is of another version: choose another --run"
        )
    return OPTIMIZERS[name]


def describe_torn_end(folder: Path) -> str | None:
    """Describes what is left out at the end of a run's journal, None where nothing is."""
    path = Path(folder) / JOURNAL
    if not path.exists() or not (journal := read_journal(path)).torn_bytes:
        return None
    count = len(journal.steps)
    if not journal.lost_steps:
        return (
            f"{path}: the last {journal.torn_bytes} bytes are of a step that was not finished; the "
            f"run holds {count} steps"
        )
    return (
        f"{path}: step {count + 1} was lost before it reached the disk, as in a power failure: the "
        f"last {journal.torn_bytes} bytes ({journal.lost_steps} steps or more) are left out and "
        f"done again; the run holds {count} steps"
    )


def _is_foreign(name):
    """Whether a file is no part of a run that has not begun: lock, measured, what is under way."""
    return name not in (LOCK, MEASURED) and not NAME.fullmatch(name)


def _check_bundle(path, description, checksum):
    """Raises InputError where a run is of another bundle."""
    trained_from = description.get("bundle_checksum")
    if trained_from is None and "bundle_sha256" in description:
        raise InputError(f"{path}: a run of an earlier version of PocketLLM; train again")
    if trained_from != checksum:
        raise InputError(
            f"{path}: the run belongs to bundle {str(trained_from)[:12]}…, this one is "
            f"{checksum[:12]}… (checksums, see `pocketllm inspect`); give the bundle that it was "
            "trained from, or another --run"
        )


def _check_config(path, config):
    """Raises InputError where a config.json is of another run."""
    stored, description = read_json(path, DAMAGED), _description(config)
    if (optimizer := optimizer_in(stored, path)) is not config.optimizer:
        raise InputError(
            f"{path}: holds a run with --optimizer={optimizer.name}, this one is "
            f"{config.optimizer.name}; choose another --run"
        )
    _check_bundle(path, stored, config.bundle_checksum)
    differing = [
        name
        for name in sorted(set(stored) | set(description))
        if stored.get(name) != description.get(name)
        and not (name == "steps" and config.settings.lr_schedule == "constant")
    ]
    if differing == ["steps"]:
        raise InputError(
            f"{path}: the run was started with --steps={stored.get('steps')}, found "
            f"--steps={config.settings.steps}; --lr_schedule={config.settings.lr_schedule} falls "
            "over all steps: keep their number, or choose another --run"
        )
    if differing:
        changes = ", ".join(
            f"{name} {stored.get(name)!r} -> {description.get(name)!r}" for name in differing
        )
        raise InputError(
            f"{path}: holds a run with another config ({changes}); choose another --run"
        )


def _recorded_steps(folder, config):
    """Returns a journal's steps, none where the run was stopped before its journal was made."""
    path = folder / JOURNAL
    if not path.exists():
        _check_unbegun(folder)
        return []
    journal, expected = read_journal(path), _header(_description(config))
    differing = [name for name in sorted(expected) if journal.header.get(name) != expected[name]]
    if journal.layout is not LAYOUTS[config.optimizer.kind]:
        differing.append("its first bytes")
    if differing:
        raise InputError(
            f"{path}: belongs to another run than {CONFIG} beside it ({', '.join(differing)}); "
            "choose another --run"
        )
    return journal.steps


def _check_unbegun(folder):
    """Raises InputError where a run has lines and no journal."""
    if (Path(folder) / METRICS).exists():
        raise InputError(
            f"{folder}: a run without its {JOURNAL}, which holds its steps; the file "
            "was removed: restore it, or choose another --run"
        )


def _header(description):
    """Returns a journal's header; `steps` may be raised later, and is no part of it."""
    return {name: value for name, value in description.items() if name != "steps"} | {
        "format_version": contract.FORMAT_VERSION
    }


def _description(config):
    """Returns what config.json holds: no setting that was added later and has its default."""
    values = {name: value for name, value in asdict(config).items() if value is not None}
    settings, defaults = values.pop("settings"), _defaults(config.settings)
    for name in defaults:
        if settings[name] == defaults[name]:
            settings.pop(name)
    return {"optimizer": config.optimizer.name} | settings | values


def _defaults(settings):
    """Returns {name: default} of the settings that have one."""
    return {field.name: field.default for field in fields(settings) if field.default is not MISSING}
