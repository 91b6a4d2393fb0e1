"""A long run: its memory does not grow, its losses stay finite, replay comes to the same bits.

Memory is what cannot be dropped (RssAnon + RssShmem), sampled over the first and the last steps.
The replay is of the whole journal, from the first step on: its parameters are compared with every
snapshot that the run has kept, and with the dev evaluation after the last step.

example:
  pocketllm export --model=roberta-micro --task=sst2 --out=micro
  python -m pocketllm.benchmarks.torture.soak --bundle=micro --train=train.tsv --dev=dev.tsv --steps=20000
"""

import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from absl import flags

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.memory import read_status
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.run.evaluate import evaluate
from pocketllm.runtime.run.folder import read_run
from pocketllm.runtime.run.journal import JOURNAL, RECORD_BYTES, read_journal
from pocketllm.runtime.run.lines import read_evaluations
from pocketllm.runtime.run.parameters import SEAL, kept_steps
from pocketllm.runtime.run.replay import replay

from .kills import training

SAMPLE_SECONDS, GROWTH = 0.05, 0.01

FLAGS = flags.FlagValues()
flags.DEFINE_string("bundle", None, "bundle folder", flag_values=FLAGS)
flags.DEFINE_string("train", None, "training data", flag_values=FLAGS)
flags.DEFINE_string("dev", None, "dev data", flag_values=FLAGS)
flags.DEFINE_integer("steps", 20_000, "of the run", 1, flag_values=FLAGS)
flags.DEFINE_integer("window", 1000, "first and last steps to compare", 1, flag_values=FLAGS)
flags.DEFINE_float("lr", 1e-4, "learning rate", flag_values=FLAGS)
flags.mark_flags_as_required(["bundle", "train", "dev"], flag_values=FLAGS)


@dataclass(frozen=True)
class Soaked:
    """What a long run came to.

    Attributes:
      first_bytes, last_bytes: median anonymous memory over the first and the last steps.
      samples: taken in each of these windows.
      highest_loss: of all steps, none of them infinite.
      compared: steps after which the replayed parameters were the run's.
    """

    first_bytes: int
    last_bytes: int
    samples: tuple[int, int]
    highest_loss: float
    compared: tuple[int, ...]

    @property
    def growth(self) -> float:
        """Of the memory, as a share."""
        return self.last_bytes / self.first_bytes - 1


def soak(bundle: Path, train: Path, dev: Path, run: Path, steps: int, window: int, lr: float):
    """Trains and replays; returns a Soaked.

    Raises:
      RunError: the run failed, a loss is not finite, or replay comes to other parameters.
    """
    command = training(bundle, train, dev, steps, lr=lr, eval_every=window)
    with Progress("training", steps * RECORD_BYTES, "B", scale=True) as bar:
        samples = _memory_over_steps([*command, f"--run={run}"], run / JOURNAL, bar.advance)
    held = read_journal(run / JOURNAL)
    header_bytes = held.end - len(held.steps) * RECORD_BYTES
    at = [((size - header_bytes) // RECORD_BYTES, anon) for size, anon in samples]
    first = [anon for step, anon in at if 1 <= step <= window]
    last = [anon for step, anon in at if steps - window <= step < steps]
    losses = [loss for step in held.steps for loss in (step.loss_plus, step.loss_minus)]
    if len(held.steps) != steps or not all(map(math.isfinite, losses)) or not first or not last:
        raise RunError(f"{run}: {len(held.steps)} steps of {steps}, or a loss that is not finite")
    compared = _replayed(bundle, dev, run)
    medians = int(median(first)), int(median(last))
    return Soaked(*medians, (len(first), len(last)), max(losses), compared)


def _memory_over_steps(command, journal, progress):
    """Runs a command; returns [(bytes of the journal, anonymous bytes of the process)]."""
    samples, told = [], 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while process.poll() is None:
            if journal.exists():
                size = journal.stat().st_size
                samples.append((size, read_status(process.pid)[0]))
                progress(size - told)
                told = size
            time.sleep(SAMPLE_SECONDS)
        complaint = process.stderr.read().decode()
    finally:
        process.kill()
    if process.returncode:
        raise RunError(complaint.strip())
    return [sample for sample in samples if sample[1]]


def _replayed(bundle_folder, dev, run):
    """Does all steps again and compares; returns the steps after which parameters were the same."""
    bundle = read_bundle(bundle_folder)
    settings, steps = read_run(run, bundle.fingerprint)
    model = open_model(bundle, threads=1)
    model.initialize()
    kept, done = kept_steps(run), 0
    for step in kept:
        replay(model, steps[done:step], settings)
        _compare(model, run / f"parameters-{step}.npz")
        done = step
    replay(model, steps[done:], settings)
    recorded = read_evaluations(run)[-1]
    found = evaluate(model, load_dataset(dev, bundle))
    if (recorded.step, recorded.loss, recorded.accuracy) != (
        len(steps),
        found.loss,
        found.accuracy,
    ):
        raise RunError(f"{run}: the replayed dev loss is {found.loss!r}, was {recorded.loss!r}")
    return (*kept, len(steps))


def _compare(model, path):
    with np.load(path, allow_pickle=False) as held:
        values = dict(model.read())
        different = [name for name in values if held[name].tobytes() != values[name].tobytes()]
        if different or set(held.files) != {*values, SEAL}:
            raise RunError(f"{path}: replay comes to other parameters ({', '.join(different[:3])})")


def main() -> None:
    """Soaks, and says what was found."""
    with tempfile.TemporaryDirectory() as folder:
        found = soak(
            Path(FLAGS.bundle), Path(FLAGS.train), Path(FLAGS.dev), Path(folder) / "run",
            FLAGS.steps, FLAGS.window, FLAGS.lr,
        )  # fmt: skip
    print(
        f"{FLAGS.steps} steps, highest loss {found.highest_loss:.3f}; anonymous memory "
        f"{found.first_bytes / 1e6:.2f} MB over the first {FLAGS.window} steps, "
        f"{found.last_bytes / 1e6:.2f} MB over the last ({100 * found.growth:+.2f}%, medians of "
        f"{found.samples[0]} and {found.samples[1]} samples); replay had the same bits at steps "
        f"{', '.join(map(str, found.compared))}"
    )
    if found.growth > GROWTH:
        sys.exit(f"memory grew by more than {100 * GROWTH:g}%")


if __name__ == "__main__":
    FLAGS(sys.argv)
    main()
