"""A run's folder: `config.json`, one line a step in `metrics.jsonl`, and `evaluations.jsonl`.

The steps are the run: (seed, projected_grad, lr) of each, with the bundle, give its parameters.
JSON writes floats so that they read back as the same bits.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import InputError, RunError
from .files import read_json, write_bytes, write_json
from .mezo import Hyperparameters, Step

CONFIG, METRICS, EVALUATIONS = "config.json", "metrics.jsonl", "evaluations.jsonl"
STEP_FIELDS = tuple(Step.__dataclass_fields__)


@dataclass(frozen=True)
class RunConfig:
    """What a run's steps depend on; a run directory never changes it.

    Attributes:
      bundle_sha256: of the bundle's model file.
      train_sha256: of the training data.
      batch_size: examples a step.
      seed: chooses the batches and directions.
      settings: MeZO's hyperparameters.
    """

    bundle_sha256: str
    train_sha256: str
    batch_size: int
    seed: int
    settings: Hyperparameters


def steps_so_far(folder: Path, config: RunConfig) -> list[Step]:
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
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: exists and holds no run; choose another --run")
        return []
    held, described = read_json(path, "choose another --run"), _described(config)
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
    steps = read_steps(folder)
    if len(steps) > config.settings.steps:
        raise InputError(
            f"{folder}: holds {len(steps)} steps, more than --steps={config.settings.steps}; "
            "raise --steps, or look at an earlier step with `pocketllm eval --at_step`"
        )
    return steps


def start_or_continue(folder: Path, config: RunConfig) -> list[Step]:
    """Prepares a run directory for more steps; returns the steps taken before.

    Arguments and errors are those of `steps_so_far`.
    """
    steps = steps_so_far(folder, config)
    _cut_torn_line(Path(folder) / METRICS)
    write_json(Path(folder) / CONFIG, _described(config))
    return steps


def read_run(folder: Path, bundle_sha256: str) -> tuple[Hyperparameters, list[Step]]:
    """Reads a run for replaying it on a bundle.

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
    try:
        settings = Hyperparameters(**{n: held[n] for n in Hyperparameters.__dataclass_fields__})
    except KeyError as error:
        raise InputError(f"{path}: {error} is missing; the file was altered") from error
    return settings, read_steps(folder)


def read_steps(folder: Path) -> list[Step]:
    """Reads `metrics.jsonl`; a last line that was cut short is left out."""
    path = Path(folder) / METRICS
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    steps = []
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            record = json.loads(line)
            step = Step(**{name: record[name] for name in STEP_FIELDS})
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: line {number} is damaged ({error}); it cannot be used"
            ) from error
        if step.step != number:
            raise InputError(f"{path}: line {number} holds step {step.step}, expected {number}")
        steps.append(step)
    return steps


def _cut_torn_line(path):
    """Cuts off what stands behind the last whole line, before more lines are appended."""
    if path.exists():
        data = path.read_bytes()
        with open(path, "r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def append_step(folder: Path, step: Step, seconds: float, anon_bytes: int, rss_bytes: int) -> None:
    """Adds a step to `metrics.jsonl`; it counts from here on."""
    record = asdict(step) | {
        "seconds": round(seconds, 6),
        "peak_anon_bytes": anon_bytes,
        "peak_rss_bytes": rss_bytes,
    }
    _append(Path(folder) / METRICS, record)


def drop_last_step(folder: Path) -> None:
    """Takes the last step off `metrics.jsonl`."""
    path = Path(folder) / METRICS
    write_bytes(path, b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def append_evaluation(folder: Path, step: int, accuracy: float, loss: float, examples: int) -> None:
    """Adds a dev evaluation after `step` (0: before the first) to `evaluations.jsonl`."""
    record = {"step": step, "accuracy": accuracy, "loss": loss, "examples": examples}
    _append(Path(folder) / EVALUATIONS, record)


def read_evaluations(folder: Path) -> list[dict]:
    """Reads `evaluations.jsonl`, the last record of each step; empty where no dev set was given."""
    path = Path(folder) / EVALUATIONS
    if not path.exists():
        return []
    records = {}
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            record = json.loads(line)
            records[record["step"]] = record
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: damaged ({error}); it cannot be used") from error
    return [records[step] for step in sorted(records)]


def best_step(folder: Path, last: int) -> int:
    """Returns the dev step of highest accuracy (then lowest loss), `last` without a dev set."""
    evaluations = [record for record in read_evaluations(folder) if record["step"] <= last]
    if not evaluations:
        return last
    return max(evaluations, key=lambda r: (r["accuracy"], -r["loss"], -r["step"]))["step"]


def _described(config):
    values = asdict(config)
    return values.pop("settings") | values


def _append(path, record):
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written: {error.strerror}; the steps before are kept, free some "
            "space and run the same command again to go on"
        ) from error
