"""Kills a training run in each of its phases, and compares it with one that was never touched.

Each time `pocketllm train` is started anew on the same run directory, and kills itself (kill -9)
at a call that --seed draws: starting, replaying, inside a step, between its line and its record,
inside the record, between a flush and its mark, before an evaluation counts, inside a snapshot, in
a pause, at the end. No clock decides. A snapshot is taken every --snapshot_steps, so that most
kills leave a tail of steps to replay. At the end journals, evaluations and parameters must be the
same bytes.

example:
  pocketllm torture kills --bundle=BUNDLE --train=train.tsv --dev=dev.tsv --kills=200
"""

import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.partials import PARTIAL
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.optim.table import DEFAULT, OPTIMIZERS
from pocketllm.runtime.run.parameters import MOMENTS, PARAMETERS, kept_steps
from pocketllm.runtime.run.snapshots import snapshot_steps

from .killed import PHASES

# Of the phases that have many calls, the share of a run's steps that is their number.
SHARES = {"start": 40, "step": 1, "line": 2, "record": 2, "flush": 20, "snapshot": 4, "pause": 30}
COMPARED = (JOURNAL, "evaluations.jsonl", "config.json")

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle folder")
define.string("train", None, "training data")
define.string("dev", None, "dev data")
define.integer("steps", 200, "steps per run", 1)
define.integer("kills", 200, "number of kills (kill -9)", 1)
define.integer("seed", 0, "random seed of the moments", 0)
define.integer("snapshot_steps", 25, "steps between snapshots", 1)
define.enum("optimizer", DEFAULT, list(OPTIMIZERS), "training algorithm")
flags.mark_flags_as_required(["bundle", "train", "dev"], flag_values=FLAGS)


@dataclass
class Kills:
    """Kills so far.

    Attributes:
      phases: how often in each phase.
      steps: that runs held at a kill -> how often.
      tails: of each kill, the steps to replay from the newest snapshot on.
      partial_files: kills that met a half-written file.
    """

    phases: Counter = field(default_factory=Counter)
    steps: Counter = field(default_factory=Counter)
    tails: list[int] = field(default_factory=list)
    partial_files: int = 0

    @property
    def count(self) -> int:
        """The number of kills."""
        return self.phases.total()


def training(bundle: Path, train: Path, dev: Path, steps: int, **changes) -> list[str]:
    """Returns the command of a run without its --run; `changes` are values of flags."""
    values = {
        "bundle": bundle, "train": train, "dev": dev, "steps": steps, "lr": 1e-3,
        "weight_decay": 0.1, "eval_every": 10, "threads": 1, "recovery_seconds": 0,
    } | changes  # fmt: skip
    command = [sys.executable, "-m", "pocketllm.runtime.cli", "train"]
    return [*command, *(f"--{name}={value}" for name, value in values.items())]


def kill_and_resume(
    command: Sequence[str],
    folder: Path,
    kills: int,
    seed: int,
    *,
    snapshot_steps: int = 25,
    progress: Callable[[int], None] = lambda kills: None,
) -> Kills:
    """Runs a command to its end undisturbed, and then again and again with kills.

    Args:
      command: from `training`.
      folder: for the run directories, empty.
      kills: so many, over as many runs as come to their ends in between; the phases in turn.
      seed: of the moments.
      snapshot_steps: between two snapshots of one process.
      progress: told of each kill.

    Raises:
      RunError: a run that was killed failed, or came out different.
    """
    whole, number, kills_so_far = folder / "whole", 1, Kills()
    subprocess.run([*command, f"--run={whole}"], check=True, capture_output=True)
    steps = len(read_journal(whole / JOURNAL).steps)
    rng, turns, run = np.random.default_rng(seed), 0, folder / "killed-1"
    while kills_so_far.count < kills:
        phase, turns = PHASES[turns % len(PHASES)], turns + 1
        call = int(rng.integers(1, 2 + steps // SHARES[phase] if phase in SHARES else 2))
        at = [phase, str(call), str(snapshot_steps)]
        is_finished = _finishes(_dying(command, at), run, phase, kills_so_far)
        if not is_finished:
            progress(1)
        if phase == "end" and not is_finished:  # nothing is left of it but to open it again
            _run(command, run)
        if phase == "end" or is_finished:
            _compare(whole, run)
            number += 1
            run = folder / f"killed-{number}"
    _run(command, run)
    _compare(whole, run)
    return kills_so_far


def _dying(command, at):
    """Returns the command that kills itself there."""
    python, module = command[0], "pocketllm.benchmarks.torture.killed"
    return [python, "-m", module, *at, *command[3:]]


def _finishes(command, run, phase, kills):
    """Runs a command that kills itself in a phase; returns whether it came to its end before."""
    process = subprocess.run(
        [*command, f"--run={run}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if process.returncode == -signal.SIGKILL:
        kills.phases[phase] += 1
        kills.partial_files += any(run.glob(f".*{PARTIAL}*"))
        if (run / JOURNAL).exists():
            count = len(read_journal(run / JOURNAL).steps)
            kills.steps[count] += 1
            parts = (PARAMETERS, MOMENTS) if kept_steps(run, MOMENTS) else (PARAMETERS,)
            snapshots = [step for step in snapshot_steps(run, parts) if step <= count]
            kills.tails.append(count - max(snapshots, default=0))
        return False
    if process.returncode:
        raise RunError(f"{run}: after {kills.count} kills: {process.stderr.strip()}")
    return True


def _run(command, run):
    process = subprocess.run([*command, f"--run={run}"], capture_output=True, text=True)
    if process.returncode:
        raise RunError(f"{run}: {process.stderr.strip()}")


def _compare(whole, run):
    if any(run.glob(f".*{PARTIAL}*")):
        raise RunError(f"{run}: files that kills left half-written are still there")
    for name in COMPARED:
        if (run / name).read_bytes() != (whole / name).read_bytes():
            raise RunError(f"{run / name}: differs from the undisturbed run's")
    for part in (PARAMETERS, MOMENTS):
        for step in set(kept_steps(run, part)) & set(kept_steps(whole, part)):
            killed, undisturbed = (
                np.load(side / f"{part.stem}{step}.npz", allow_pickle=False)
                for side in (run, whole)
            )
            for name in killed.files:
                if killed[name].tobytes() != undisturbed[name].tobytes():
                    raise RunError(f"{run}: {name} at step {step} differs from the whole run's")


def run(values) -> dict:
    """Kills and compares; see the module's docstring."""
    places = Path(values.bundle), Path(values.train), Path(values.dev)
    command = training(*places, values.steps, recovery_seconds=1e9, optimizer=values.optimizer)
    with tempfile.TemporaryDirectory() as folder, Progress("killing", values.kills, "kill") as bar:
        kills = kill_and_resume(
            command,
            Path(folder),
            values.kills,
            values.seed,
            snapshot_steps=values.snapshot_steps,
            progress=bar.advance,
        )
    steps, phases = sorted(kills.steps), dict(kills.phases)
    print(
        f"{kills.count} kills ({', '.join(f'{name} {count}' for name, count in phases.items())}), "
        f"at {len(steps)} different steps from {steps[0]} to {steps[-1]}, with up to "
        f"{max(kills.tails)} steps to replay, {kills.partial_files} of them with a file "
        "half-written: every run ended with the same bytes"
    )
    return {
        "kills": kills.count,
        "phases": phases,
        "steps": steps,
        "most_replayed": max(kills.tails),
        "partial_files": kills.partial_files,
    }
