"""Measures the time from the start of a process to its first recorded step: Python and native.

example:
  pocketllm export --model=roberta-micro --random_init --task=sst2 --out=micro
  pocketllm encode --bundle=micro --data=train.tsv --out=train.rows
  python -m pocketllm.benchmarks.first_step --bundle=micro --train=train.tsv --encoded=train.rows
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.journal.flushed import METRICS

PROGRAM = Path(__file__).resolve().parents[1] / "build" / "native" / "pocketllm-train"
POLL_SECONDS = 0.001  # the resolution of what is measured
MOST_SECONDS = 300.0

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("bundle", None, "bundle folder")
define.string("train", None, "training data, for Python")
define.string("encoded", None, "the same data as rows, from `pocketllm encode`, for the other")
define.string("native", str(PROGRAM), "the native program, from `make native`")
define.integer("repeats", 7, "processes of each", 1)
flags.mark_flags_as_required(["bundle", "train", "encoded"], flag_values=FLAGS)


def seconds_to_first_step(command: list[str], run: Path) -> float:
    """Starts a process that trains, and waits for the first line of its metrics.

    Args:
      command: without --run.
      run: its run directory, which must not be there.

    Returns:
      Seconds from the start of the process to the line.

    Raises:
      RunError: the process ended without a step, or takes too long.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, f"--run={run}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    lines = run / METRICS
    while not (lines.exists() and lines.stat().st_size):
        if process.poll() is not None and not lines.exists():
            raise RunError(process.communicate()[1].strip())
        if time.perf_counter() - started > MOST_SECONDS:
            process.kill()
            raise RunError(f"no step in {MOST_SECONDS:g} s")
        time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - started
    process.communicate()
    return seconds


def main() -> None:
    """Prints the median, the least and the most of each program, in turns."""
    FLAGS(sys.argv)
    same = [f"--bundle={FLAGS.bundle}", "--steps=1", "--lr=1e-4", "--threads=1"]
    python = [sys.executable, "-m", "pocketllm.runtime.cli", "train", f"--train={FLAGS.train}"]
    programs = {"python": python, "native": [FLAGS.native, f"--encoded={FLAGS.encoded}"]}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(FLAGS.repeats):
            for name, command in programs.items():
                run = Path(folder) / f"{name}-{turn}"
                seconds[name].append(seconds_to_first_step([*command, *same], run))
    for name, measured in seconds.items():
        median = statistics.median(measured)
        print(
            f"{name}: {median:.3f} s from start to first step "
            f"({min(measured):.3f} to {max(measured):.3f}, {len(measured)} processes)"
        )


if __name__ == "__main__":
    try:
        main()
    except RunError as error:
        sys.exit(f"error: {error}")
