"""Run directories written line by line, with figures that a hand can check."""

import json
from pathlib import Path

MACHINE = {
    "first_step": 1, "model": "roberta-micro", "task": "sst2",
    "engine": "litert (ai-edge-litert 2.3.0, 4 threads, XNNPACK delegate, 7 partitions)",
    "cpu": "Test Phone (CPU parts 0xd05, 0xd41)", "cores": 8, "memory_bytes": 8_000_000_000,
    "system": "Linux 5.10 aarch64", "versions": {"python": "3.11.2", "numpy": "1.26.4"},
}  # fmt: skip


def mezo_line(step: int, loss_plus: float, loss_minus: float, seconds: float = 0.5, **changes):
    """Returns a step of `pocketllm train`."""
    return {
        "step": step, "seed": 100 + step, "loss_plus": loss_plus, "loss_minus": loss_minus,
        "projected_grad": (loss_plus - loss_minus) / 2e-3, "lr": 1e-4, "seconds": seconds,
        "peak_anon_bytes": 1_000_000_000 + step, "peak_rss_bytes": 1_500_000_000 + step,
    } | changes  # fmt: skip


def adam_line(step: int, loss: float, seconds: float = 2.0):
    """Returns a step along the gradient."""
    return {
        "step": step, "loss": loss, "lr": 1e-3, "seconds": seconds,
        "peak_anon_bytes": 3_000_000_000, "peak_rss_bytes": 3_500_000_000,
    }  # fmt: skip


def write_run(folder: Path, lines, evaluations=(), sessions=(), torn="", **config) -> Path:
    """Writes a run directory.

    Args:
      folder: made here.
      lines: of metrics.jsonl.
      evaluations: (step, accuracy, loss) each.
      sessions: of machine.json, which is left out without them.
      torn: behind the last whole line.
      config: beside the fields that a run always has.
    """
    folder.mkdir(parents=True)
    values = {
        "optimizer": "mezo", "bundle_checksum": "b" * 64, "train_sha256": "d" * 64, "lr": 1e-4,
        "batch_size": 8,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values | config))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + torn)
    if evaluations:
        dev = {"examples": 100, "data_sha256": "dev"}
        named = [dict(zip(("step", "accuracy", "loss"), figures)) | dev for figures in evaluations]
        text = "".join(json.dumps(line) + "\n" for line in named)
        (folder / "evaluations.jsonl").write_text(text)
    if sessions:
        (folder / "machine.json").write_text(json.dumps({"sessions": list(sessions)}))
    return folder


def write_mezo_run(folder: Path, **changes) -> Path:
    """Writes three steps with dev evaluations, the best of them after step 2."""
    lines = [
        mezo_line(1, 0.8, 0.6, 3.0),
        mezo_line(2, 0.3, 0.5, 1.0, peak_anon_bytes=2_345_678_901, peak_rss_bytes=2_987_654_321),
        mezo_line(3, 0.6, 0.4, 1.5),
    ]
    evaluations = [(0, 0.5, 0.7), (2, 0.875, 0.4), (3, 0.875, 0.45)]
    values = {"lines": lines, "evaluations": evaluations, "sessions": [MACHINE]} | changes
    return write_run(folder, **values)
