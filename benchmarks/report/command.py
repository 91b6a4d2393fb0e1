"""Draws one or several runs over their steps, on shared axes, and puts their figures in a table.

DIR then holds report.md (the table, the figure, settings, machines and versions), report.json (the
same for programs), and curves.png and curves.svg: training loss, dev accuracy, projected gradient,
time per step and memory, as far as the runs have them. Runs may differ in model, data and
optimizer, and may still be going on: a last line that is not whole is left out.

examples:
  pocketllm report run --out=report
  pocketllm report quickstart/run-seed0 quickstart/run-seed1 --out=report --force
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import PACKAGES, describe_machine
from pocketllm.runtime.host.files import write_bytes, write_json
from pocketllm.runtime.host.folders import check_replaceable, staged

from .data import read_runs, summarise
from .figures import draw_runs
from .text import figure_caption, loss_cell, report_text

ARGUMENTS = "RUN_DIR…"
TEXT, RESULT, FIGURES = "report.md", "report.json", ("curves.png", "curves.svg")

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("out", None, "folder to write")
define.bool("force", False, "replace a report that is there")


def run(values, folders: Sequence[str]) -> dict:
    """Reports; see the module's docstring."""
    required(values, "out")
    if not folders:
        raise InputError("RUN_DIR is missing; see `pocketllm report --help`")
    result = write_report(folders, Path(values.out), values.force)
    for row in result["runs"]:
        print(_line(row))
        for text in row["warnings"]:
            print(f"{row['run']}: warning: {text}")
    print(f"{Path(values.out) / TEXT}")
    return result


def write_report(folders: Sequence[str | Path], out: Path, force: bool = False) -> dict:
    """Writes a report of these run directories; returns what its report.json holds.

    Args:
      folders: at least one.
      out: folder to write; appears whole.
      force: replaces a report that is there.
    """
    check_replaceable(out, force, {TEXT, RESULT, *FIGURES}.__contains__, "a report")
    runs = read_runs(folders)
    result = {
        "runs": [summarise(run) for run in runs],
        "figures": list(FIGURES),
        "machine": describe_machine((*PACKAGES, "matplotlib")),
    }
    with staged(out.absolute()) as beside:
        caption = figure_caption(result)
        draw_runs(runs, [beside / name for name in FIGURES], caption=caption)
        write_bytes(beside / TEXT, report_text(result).encode())
        write_json(beside / RESULT, result)
    return result


def _line(row):
    best = ""
    if row["best_dev_loss"] is not None:
        measure = "loss" if row["best_dev_accuracy"] is None else "accuracy"
        best = f", best dev {measure} {row[f'best_dev_{measure}']:.4f} at {row['best_dev_step']}"
    first, last = loss_cell(row["first_loss"]), loss_cell(row["last_loss"])
    return (
        f"{row['run']}: {row['optimizer']}, {row['steps']} steps, loss {first} to {last}{best}, "
        f"{row['step_seconds']:.3f} s a step"
    )
