"""Exports a preset with random weights in a process of its own, and says what that took."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pocketllm.runtime.host.files import read_json

from ..isolation.worker import run_module

BATCH_SIZE = 8
LENGTHS = (32, 64, 128)


def random_preset(model: str, seed: int, lengths: Sequence[int]) -> list[str]:
    """Returns the flags of an export of a preset with random weights of a seed."""
    return [
        f"--model={model}",
        "--random_init",
        f"--seed={seed}",
        f"--batch_size={BATCH_SIZE}",
        f"--lengths={','.join(map(str, lengths))}",
    ]


def export_measured(settings: Sequence[str], out: Path, say: Callable[[str], None]) -> dict:
    """Exports for SST-2; returns wall seconds, peak bytes of all pages, and the stages' seconds.

    Args:
      settings: flags of `pocketllm export`, without --task, --out and --json.
      out: folder to write.
      say: told every stage.
    """
    summary = out.with_name(f"{out.name}.json")
    arguments = ["export", *settings, "--task=sst2", f"--out={out}", f"--json={summary}"]
    took = run_module("export", "pocketllm.runtime.cli", arguments, {}, say)
    stages = read_json(summary, "run the bench again")
    return {
        "seconds": took.seconds,
        "peak_rss_bytes": took.peak_rss_bytes,
        "model_bytes": stages["model_bytes"],
        "stages": {name: value for name, value in stages.items() if name.endswith("_seconds")},
    }
