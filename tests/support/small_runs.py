"""Data files, commands and settings of small runs; nothing here needs the desktop."""

import os
import re
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
from hypothesis import settings

from pocketllm.runtime.data.dataset import Dataset
from pocketllm.runtime.journal.lines import read_steps
from pocketllm.runtime.journal.records import record_bytes
from pocketllm.runtime.optim.adam import AdamSettings, AdamStep
from pocketllm.runtime.optim.fzoo import FzooSettings
from pocketllm.runtime.optim.mezo import MezoSettings, MezoStep
from pocketllm.runtime.run.folder import RunConfig
from pocketllm.runtime.run.listening import Listener

RECORD_BYTES = record_bytes(losses=2, passes=3)  # of a MeZO step

# Property tests whose examples are the same on every machine, however busy it is.
steady = settings(deadline=None, derandomize=True)

SUBJECTS = ("a film", "a great film", "it", "ok", "a", "so so", "a film was", "a terrible film")


def rows(count: int, seed: int) -> list[tuple[str, int]]:
    """Returns (sentence, label) of lengths for every bucket of the committed bundle."""
    rng = np.random.default_rng(seed)
    return [(SUBJECTS[rng.integers(len(SUBJECTS))], int(rng.integers(2))) for _ in range(count)]


def write_tsv(path: Path, examples: list[tuple[str, int]]) -> Path:
    """Writes SST-2's published format."""
    lines = ["sentence\tlabel", *(f"{sentence}\t{label}" for sentence, label in examples), ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


class Stop(Exception):
    """What ends a run in the middle, as a kill does: nothing more is written."""


def stop_after(last: int) -> Listener:
    """Returns a listener that stops a run behind a step."""

    def stepped(step, seconds):
        if step.step == last:
            raise Stop

    return Listener(stepped=stepped)


def pocketllm(*arguments, timeout: int = 120, **environment) -> subprocess.CompletedProcess:
    """Runs one command in a process of its own; stdout and stderr as text."""
    return subprocess.run(
        [sys.executable, "-m", "pocketllm.runtime.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
    )


def python(code: str, **environment) -> subprocess.CompletedProcess:
    """Runs Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


def complaint(done, code, *texts, program="pocketllm .+"):
    """Asserts an exit code and one line on stderr, a program's, that holds all of `texts`."""
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert re.match(f"{program}: error: ", done.stderr), done.stderr
    for text in texts:
        assert text in done.stderr


def run_config(bundle, data: Dataset, **changes) -> RunConfig:
    """Returns a run's config: 6 steps of 5 examples, large enough to move the parameters."""
    run = {"batch_size": 5, "seed": 0}
    values = run | {
        "lr": 1e-2, "eps": 1e-2, "weight_decay": 0.0, "lr_schedule": "constant", "steps": 6,
    } | changes  # fmt: skip
    run = {name: values.pop(name) for name in run}
    return RunConfig.of(bundle, data, MezoSettings(**values), **run)


# Journalled runs of every kind: (dataclass of the settings, its values beside those of run_config).
ZEROTH_ORDER = {
    "mezo": (MezoSettings, {}),
    "normalized": (MezoSettings, {"normalize": True}),
    "fzoo": (FzooSettings, {"directions": 4, "sides": 1}),
    "fzoo-two-sides": (FzooSettings, {"directions": 3, "sides": 2}),
}


def zeroth_order_config(kind: str, bundle, data: Dataset, **changes) -> RunConfig:
    """Returns the config of a run of one of ZEROTH_ORDER; the rest as `run_config` has it."""
    config = run_config(bundle, data, **changes)
    settings, more = ZEROTH_ORDER[kind]
    values = {**asdict(config.settings), **more}
    names = {field.name for field in fields(settings)}
    values = {name: value for name, value in values.items() if name in names}
    return replace(config, settings=settings(**values))


def adam_config(bundle, data: Dataset, **changes) -> RunConfig:
    """Returns an Adam run's config: 6 steps of 2 examples, one less than the bundle has rows."""
    run = {"batch_size": 2, "seed": 0}
    values = run | {
        "lr": 1e-2, "weight_decay": 0.1, "lr_schedule": "constant", "steps": 6,
    } | changes  # fmt: skip
    run = {name: values.pop(name) for name in run}
    return RunConfig.of(bundle, data, AdamSettings(**values), **run)


def adam_losses(folder: Path) -> list[float]:
    """Returns the loss of every step of an Adam run."""
    return [step.loss for step in read_steps(folder, AdamStep)]


def mezo_steps(folder: Path) -> list[MezoStep]:
    """Returns every step of a MeZO run, as its metrics show it."""
    return read_steps(folder, MezoStep)


def state_of(model) -> dict[str, bytes]:
    """Returns the bytes of every variable."""
    return {name: values.tobytes() for name, values in model.read()}
