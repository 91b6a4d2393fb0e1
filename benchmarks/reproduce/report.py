"""Writes a reproduction's report: its tables as JSON and Markdown, and its figures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pocketllm.runtime.contract import ADAM
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.files import write_bytes, write_json

from ..bench.comparison import LOSS_TOLERANCE
from ..bench.summary import relative_difference
from ..report.command import write_report
from ..report.data import read_runs, summarise
from ..report.figures import LOSS, draw_runs
from ..report.text import figure_caption
from .cell import DONE
from .plan import (
    MODELS,
    PAPER,
    PAPER_BATCHES,
    POCKETLLM,
    PYTORCH,
    TOKENS,
    Scale,
    cell_of,
)
from .text import OPTIMIZERS, reproduction_text

TEXT, RESULT, FIGURES = "report.md", "report.json", ("figure1.png", "figure1.svg")
CURVES = "curves"


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
        "rows": [_row(scale, row, results) for row in PAPER],
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


def _row(scale, row, results):
    """Returns a row of tables 1 and 2: the paper's figures, both cells' names and ratios."""
    names = {side: cell_of(scale, row, side).name for side in (POCKETLLM, PYTORCH)}
    ours, theirs = (results[name] for name in names.values())
    compared = all(result and result["outcome"] == DONE for result in (ours, theirs))
    figures = ("step_seconds", "peak_anon_bytes", "peak_rss_bytes")
    return {
        "architecture": row.architecture,
        "optimizer": row.optimizer,
        "batch_size": scale.rows_of(row.size),
        "paper_batch_size": PAPER_BATCHES[row.size],
        "paper": {
            name: values and list(values)
            for name, values in (("gigabytes", row.gigabytes), ("step_seconds", row.step_seconds))
        },
        "paper_rounded": row.rounded,
        **names,
        "ratio": {name: theirs[name] / ours[name] if compared else None for name in figures},
    }


def _agreement(scale, results):
    """Compares Adam's losses of both sides, which have the same weights and batches."""
    agreement = []
    for row in (row for row in PAPER if row.optimizer == ADAM):
        cells = (cell_of(scale, row, side) for side in (POCKETLLM, PYTORCH))
        ours, theirs = ((results[cell.name] or {}).get("losses", []) for cell in cells)
        if ours and theirs:
            differences = [relative_difference(a, b) for a, b in zip(ours, theirs)]
            agreement.append(
                {
                    "batch_size": scale.rows_of(row.size),
                    "ours": ours,
                    "pytorch": theirs,
                    "first_loss_difference": differences[0],
                    "largest_loss_difference": max(differences),
                }
            )
    return agreement


def _draw_figure1(out, scale, results):
    """Draws the losses of PocketLLM's cells of figure 1; returns the names of the files."""
    rows = sorted((row for row in PAPER if row.in_figure1), key=lambda row: scale.rows_of(row.size))
    cells = [cell_of(scale, row, POCKETLLM) for row in rows]
    names = {
        f"{OPTIMIZERS[cell.optimizer]}, batch {cell.batch_size}": cell.name
        for cell in cells
        if results[cell.name] and results[cell.name]["steps_taken"]
    }
    if not names:
        return []
    runs = read_runs([out / "runs" / name for name in names.values()])
    runs = [replace(run, name=name) for run, name in zip(runs, names)]
    where = figure_caption({"runs": [summarise(run) for run in runs]})
    shown = dict.fromkeys(
        f"{scale.models[row.architecture]} on {MODELS[row.architecture].task.shown}" for row in rows
    )
    caption = f"{', '.join(shown)}, {TOKENS} tokens; {where}"
    draw_runs(runs, [out / name for name in FIGURES], [LOSS], columns=1, caption=caption)
    return list(FIGURES)
