"""Writes a reproduction's report: its tables as JSON and Markdown, and its figures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pocketllm.runtime.contract import ADAM, MEZO
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.files import write_bytes, write_json

from ..bench.comparison import LOSS_TOLERANCE
from ..bench.summary import relative_difference
from ..report.command import write_report
from ..report.data import read_runs, summarise
from ..report.figures import LOSS, draw_runs
from ..report.text import figure_caption
from .cell import DONE
from .plan import POCKETLLM, PYTORCH, TASKS, TOKENS, Cell, Scale
from .text import OPTIMIZERS, reproduction_text

TEXT, RESULT, FIGURES = "report.md", "report.json", ("figure1.png", "figure1.svg")
CURVES = "curves"
# Figures of the paper, which prints two values a cell without saying of what; None: out of memory.
PAPER = {
    ("roberta", MEZO, "small"): {"gigabytes": [4.8, 4.6], "step_seconds": [97, 83]},
    ("roberta", MEZO, "large"): {"gigabytes": [4.0, 4.5], "step_seconds": [123, 121]},
    ("roberta", ADAM, "small"): {"gigabytes": [6.5, 6.7], "step_seconds": [74, 85]},
    ("roberta", ADAM, "large"): {"gigabytes": None, "step_seconds": None},
    ("opt", MEZO, "small"): {"gigabytes": [6.5], "step_seconds": [1800]},
}
PAPER_BATCHES = {"small": 8, "large": 64}


def write_reproduction(
    out: Path, scale: Scale, config: dict, results: dict[str, dict | None], command: Sequence[str]
) -> dict:
    """Writes the report of the cells that are finished; returns the contents of report.json.

    Args:
      out: DIR.
      scale: gives models and batch sizes.
      config: the settings that the cells share.
      results: {cell's name: its result, or None if it was not run}.
      command: the command that repeats the reproduction.
    """
    curves = [name for name, result in results.items() if result and result["steps_taken"]]
    if curves:
        write_report([out / "runs" / name for name in curves], out / CURVES, force=True)
    result = {
        "config": config,
        "command": list(command),
        "rows": [_row(scale, key, results) for key in PAPER],
        "agreement": _agreement(scale, results),
        "cells": results,
        "figures": _draw_figure1(out, scale, results),
        "curves": f"{CURVES}/report.md" if curves else None,
    }
    write_bytes(out / TEXT, reproduction_text(result).encode())
    write_json(out / RESULT, result)
    return result


def check_agreement(result: dict) -> None:
    """Raises RunError if Adam's losses before the first step differ from PyTorch's."""
    for losses in result["agreement"]:
        if losses["first_loss_difference"] <= LOSS_TOLERANCE:  # False for a NaN
            continue
        raise RunError(
            f"Adam at batch {losses['batch_size']}: the first losses, {losses['ours'][0]:.6f} here "
            f"and {losses['pytorch'][0]:.6f} in PyTorch, are not within {LOSS_TOLERANCE:g}: they "
            "do not compute the same thing, so their times cannot be compared"
        )


def _row(scale, key, results):
    """Returns a row of tables 1 and 2: the paper's figures, both cells' names and ratios."""
    family, optimizer, which = key
    batch_size = scale.batch_sizes[list(PAPER_BATCHES).index(which)]
    names = {side: Cell(side, family, optimizer, batch_size).name for side in (POCKETLLM, PYTORCH)}
    ours, theirs = (results[name] for name in names.values())
    compared = all(result and result["outcome"] == DONE for result in (ours, theirs))
    figures = ("step_seconds", "peak_anon_bytes", "peak_rss_bytes")
    return {
        "family": family,
        "optimizer": optimizer,
        "batch_size": batch_size,
        "paper_batch_size": PAPER_BATCHES[which],
        "paper": PAPER[key],
        **names,
        "ratio": {name: theirs[name] / ours[name] if compared else None for name in figures},
    }


def _agreement(scale, results):
    """Compares Adam's losses of both sides, which have the same weights and batches."""
    agreement = []
    for batch_size in scale.batch_sizes:
        cells = (Cell(side, "roberta", ADAM, batch_size) for side in (POCKETLLM, PYTORCH))
        ours, theirs = ((results[cell.name] or {}).get("losses", []) for cell in cells)
        if ours and theirs:
            differences = [relative_difference(a, b) for a, b in zip(ours, theirs)]
            agreement.append(
                {
                    "batch_size": batch_size,
                    "ours": ours,
                    "pytorch": theirs,
                    "first_loss_difference": differences[0],
                    "largest_loss_difference": max(differences),
                }
            )
    return agreement


def _draw_figure1(out, scale, results):
    """Draws the losses of PocketLLM's RoBERTa cells; returns the names of the files."""
    names = {
        f"{OPTIMIZERS[optimizer]}, batch {batch_size}": cell.name
        for batch_size in scale.batch_sizes
        for optimizer in (MEZO, ADAM)
        for cell in [Cell(POCKETLLM, "roberta", optimizer, batch_size)]
        if results[cell.name] and results[cell.name]["steps_taken"]
    }
    if not names:
        return []
    runs = read_runs([out / "runs" / name for name in names.values()])
    runs = [replace(run, name=name) for run, name in zip(runs, names)]
    where = figure_caption({"runs": [summarise(run) for run in runs]})
    caption = f"{scale.models['roberta']} on {TASKS['roberta'].shown}, {TOKENS} tokens; {where}"
    draw_runs(runs, [out / name for name in FIGURES], [LOSS], columns=1, caption=caption)
    return list(FIGURES)
