"""Exports a bundle in its own process, and measures the time and memory of the export."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pocketllm.runtime.host.files import read_json

from ..isolation.worker import run_module

BATCH_SIZE = 8
LENGTHS = (32, 64, 128)


def random_preset(
    model: str, seed: int, lengths: Sequence[int], batch_size: int = BATCH_SIZE
) -> list[str]:
    """Returns the flags of `pocketllm export` for a preset with seeded random weights."""
    return [
        f"--model={model}",
        "--random_init",
        f"--seed={seed}",
        f"--batch_size={batch_size}",
        f"--lengths={','.join(map(str, lengths))}",
    ]


def export_measured(
    settings: Sequence[str], out: Path, say: Callable[[str], None], task: str = "sst2"
) -> dict:
    """Exports a bundle of a task.

    Args:
      settings: flags of `pocketllm export`, without --task, --out and --json.
      out: folder to write.
      say: takes one line a stage.
      task: of the bundle.

    Returns:
      {"seconds": wall time, "peak_rss_bytes", "model_bytes", "stages": {name: seconds}}.
    """
    summary = out.with_name(f"{out.name}.json")
    arguments = ["export", *settings, f"--task={task}", f"--out={out}", f"--json={summary}"]
    ended = run_module("export", "pocketllm.runtime.cli", arguments, {}, say)
    stages = read_json(summary, "run the bench again")
    return {
        "seconds": ended.seconds,
        "peak_rss_bytes": ended.peak_rss_bytes,
        "model_bytes": stages["model_bytes"],
        "stages": {name: value for name, value in stages.items() if name.endswith("_seconds")},
    }
