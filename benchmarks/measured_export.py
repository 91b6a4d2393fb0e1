"""Exports a preset with random weights in a process of its own, and says what that took."""

from collections.abc import Callable
from pathlib import Path

from pocketllm.runtime.files import read_json

from .worker import run_module

BATCH_SIZE = 8
LENGTHS = (32, 64, 128)


def export_measured(
    model: str, seq_len: int, noise: str, seed: int, out: Path, on_line: Callable[[str], None]
) -> dict:
    """Exports to `out`; returns wall seconds, peak bytes of all pages, and the stages' seconds.

    Args:
      model: preset.
      seq_len: a bucket of this length is added where LENGTHS lack it.
      noise: kind of the direction.
      seed: of the weights.
      out: folder to write.
      on_line: told every stage.
    """
    lengths = sorted({*LENGTHS, seq_len})
    summary = out.with_name(f"{out.name}.json")
    arguments = [
        "export",
        f"--model={model}",
        "--random_init",
        f"--seed={seed}",
        "--task=sst2",
        f"--noise={noise}",
        f"--batch_size={BATCH_SIZE}",
        f"--lengths={','.join(map(str, lengths))}",
        f"--out={out}",
        f"--json={summary}",
    ]
    took = run_module("export", "pocketllm.runtime.cli", arguments, {}, on_line)
    stages = read_json(summary, "run the bench again")
    return {
        "seconds": took.seconds,
        "peak_rss_bytes": took.peak_rss_bytes,
        "model_bytes": stages["model_bytes"],
        "stages": {name: value for name, value in stages.items() if name.endswith("_seconds")},
    }
