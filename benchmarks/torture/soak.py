"""A long run: its memory does not grow, its losses stay finite, replay comes to the same bits.

It restarts in the middle: two processes take half of the steps each. Memory is what cannot be
dropped (RssAnon + RssShmem), sampled over early steps of each, behind its first evaluation, and
over its last ones; growth of more than 1% in either is a failure.
The replay is of the whole journal, from the first step on: its parameters are compared with every
snapshot that the run has kept, and with the dev evaluation after the last step.

example:
  pocketllm export --model=roberta-micro --task=sst2 --out=micro
  pocketllm torture soak --bundle=micro --train=train.tsv --dev=dev.tsv --steps=20000
"""

import math
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
from absl import flags

from pocketllm.runtime.bundle.manifest import read_bundle
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.engine.model import open_model
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.memory import read_status
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.journal.lines import read_evaluations
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.journal.records import record_bytes
from pocketllm.runtime.run.evaluate import evaluate
from pocketllm.runtime.run.folder import read_run
from pocketllm.runtime.run.parameters import CHECKSUM, kept_steps
from pocketllm.runtime.run.replay import replay

from .kills import training

SAMPLE_SECONDS, GROWTH = 0.05, 0.01
RECORD_BYTES = record_bytes(losses=2, passes=3)  # of a MeZO step

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle folder")
define.string("train", None, "training data")
define.string("dev", None, "dev data")
define.integer("steps", 20_000, "length of the run", 1)
define.integer("window", 1000, "number of early and of last steps to compare", 1)
define.float("lr", 1e-4, "learning rate")
flags.mark_flags_as_required(["bundle", "train", "dev"], flag_values=FLAGS)


@dataclass(frozen=True)
class Soaked:
    """The figures of a long run.

    Attributes:
      first_bytes, last_bytes: of each process, the median anonymous memory over its second window
        and over its last; 0 of a window that passed between two samples.
      samples: taken in the smallest of these windows.
      highest_loss: of all steps, none of them infinite.
      compared: steps after which the replayed parameters were the run's.
    """

    first_bytes: tuple[int, ...]
    last_bytes: tuple[int, ...]
    samples: int
    highest_loss: float
    compared: tuple[int, ...]

    @property
    def growth(self) -> float:
        """Growth of a process's memory, as a share: the larger one."""
        pairs = zip(self.first_bytes, self.last_bytes)
        return max((last / first - 1 for first, last in pairs if first and last), default=0.0)


def soak(
    bundle: Path, train: Path, dev: Path, run: Path, *, steps: int, window: int, lr: float
) -> Soaked:
    """Trains and replays; returns a Soaked.

    Raises:
      RunError: the run failed, a loss is not finite, or replay comes to other parameters.
    """
    windows, middle = [], steps // 2
    with Progress("training", steps * RECORD_BYTES, "B", scale=True) as bar:
        for begin, end in ((0, middle), (middle, steps)):
            command = training(bundle, train, dev, end, lr=lr, eval_every=window)
            samples = _memory_over_steps([*command, f"--run={run}"], run / JOURNAL, bar.advance)
            header = read_journal(run / JOURNAL).ends[0]
            at = [((size - header) // RECORD_BYTES, anon) for size, anon in samples]
            # Behind its first evaluation, which allocates what the evaluations need.
            first = [anon for step, anon in at if 0 < step - begin - window <= window]
            windows.append((first, [anon for step, anon in at if end - window <= step < end]))
    journal = read_journal(run / JOURNAL)
    losses = [loss for step in journal.steps for loss in step.losses]
    count = len(journal.steps)
    if count != steps or not all(map(math.isfinite, losses)):
        raise RunError(f"{run}: {count} steps of {steps}, or a loss that is not finite")
    compared = _replayed(bundle, dev, run)
    first, last = ([int(median(values or [0])) for values in side] for side in zip(*windows))
    samples = min(len(values) for pair in windows for values in pair)
    return Soaked(tuple(first), tuple(last), samples, max(losses), compared)


def _memory_over_steps(command, journal, progress):
    """Runs a command; returns [(bytes of the journal, anonymous bytes of the process)]."""
    samples, reported = [], journal.stat().st_size if journal.exists() else 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while process.poll() is None:
            if journal.exists():
                size = journal.stat().st_size
                samples.append((size, read_status(process.pid)[0]))
                progress(size - reported)
                reported = size
            time.sleep(SAMPLE_SECONDS)
        assert process.stderr is not None  # a pipe
        complaint = process.stderr.read().decode()
    finally:
        process.kill()
    if process.returncode:
        raise RunError(complaint.strip())
    return [sample for sample in samples if sample[1]]


def _replayed(bundle_folder, dev, run):
    """Does all steps again and compares; returns the steps after which parameters were the same."""
    bundle = read_bundle(bundle_folder)
    steps = read_run(run, bundle).applied
    model = open_model(bundle, threads=1)
    model.initialize()
    snapshots, last = kept_steps(run), 0
    for step in snapshots:
        replay(model, steps[last:step])
        _compare(model, run / f"parameters-{step}.npz")
        last = step
    replay(model, steps[last:])
    recorded = read_evaluations(run)[-1]
    replayed = evaluate(model, load_dataset(dev, bundle))
    expected = (recorded.step, recorded.loss, recorded.accuracy)
    if (len(steps), replayed.loss, replayed.accuracy) != expected:
        raise RunError(f"{run}: the replayed dev loss is {replayed.loss!r}, was {recorded.loss!r}")
    return (*snapshots, len(steps))


def _compare(model, path):
    with np.load(path, allow_pickle=False) as snapshot:
        values = dict(model.read())
        different = [name for name in values if snapshot[name].tobytes() != values[name].tobytes()]
        if different or set(snapshot.files) != {*values, CHECKSUM}:
            raise RunError(f"{path}: replay comes to other parameters ({', '.join(different[:3])})")


def run(values) -> dict:
    """Soaks; see the module's docstring."""
    with tempfile.TemporaryDirectory() as folder:
        soaked = soak(
            Path(values.bundle),
            Path(values.train),
            Path(values.dev),
            Path(folder) / "run",
            steps=values.steps,
            window=values.window,
            lr=values.lr,
        )
    sides = zip(soaked.first_bytes, soaked.last_bytes)
    print(
        f"{values.steps} steps in two processes, highest loss {soaked.highest_loss:.3f}; anonymous "
        f"memory over early and the last {values.window} steps of each, in MB: "
        f"{'; '.join(f'{first / 1e6:.2f} and {last / 1e6:.2f}' for first, last in sides)} "
        f"({100 * soaked.growth:+.2f}% at most, medians of {soaked.samples} samples or more); "
        f"replay had the same bits at steps {', '.join(map(str, soaked.compared))}"
    )
    if not soaked.samples:
        raise RunError("a window passed between two samples of memory; take a longer --window")
    if soaked.growth > GROWTH:
        raise RunError(f"memory grew by more than {100 * GROWTH:g}%")
    return asdict(soaked) | {"growth": soaked.growth}
