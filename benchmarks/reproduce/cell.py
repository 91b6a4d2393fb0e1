"""Runs one cell of a reproduction: exports its bundle, trains in the limit, writes the result.

A cell NAME has the run directory DIR/runs/NAME and the folder DIR/cells/NAME, with the log and
result.json. That file is written last: a cell that has one is finished.
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.files import read_json, write_json
from pocketllm.runtime.host.native_output import LOG_VARIABLE
from pocketllm.runtime.journal.lines import METRICS
from pocketllm.runtime.optim.table import OPTIMIZERS
from pocketllm.runtime.run.parameters import drop_parameters

from ..isolation.memory_limit import drop_caches, run_limited
from ..isolation.worker import last_line, run_module, thread_variables
from ..report.data import read_runs, summarise
from .plan import EPS, MODELS, POCKETLLM, SEED, STEPS, TOKENS, Cell, Export
from .request import Request

RESULT, LOG = "result.json", "log.txt"
DONE, OUT_OF_MEMORY = "done", "out of memory"


@dataclass(frozen=True)
class Setting:
    """The settings that all cells of a reproduction share.

    Attributes:
      out: DIR.
      sources: {architecture: preset or checkpoint folder}.
      random_init: the architectures whose weights are random.
      limit_bytes: hard limit on the memory of a cell.
      threads: kernel threads.
    """

    out: Path
    sources: dict[str, str]
    random_init: frozenset[str]
    limit_bytes: int
    threads: int


def finished(out: Path, cell: Cell) -> dict | None:
    """Returns the result of a cell that is finished, else None."""
    path = out / "cells" / cell.name / RESULT
    return read_json(path, f"remove {path.parent} to run it again") if path.exists() else None


def forget(out: Path, cell: Cell) -> None:
    """Removes a cell's result, then its log and run."""
    (out / "cells" / cell.name / RESULT).unlink(missing_ok=True)
    for folder in (out / "cells" / cell.name, out / "runs" / cell.name):
        if folder.exists():
            shutil.rmtree(folder)


def bundle_folder(out: Path, export: Export) -> Path:
    """Returns the folder of a bundle; it exists while cells need it."""
    return out / "bundles" / export.name


def export_bundle(setting: Setting, export: Export, say: Callable[[str], None]) -> None:
    """Exports a bundle unless its folder exists; `say` takes each line of the export."""
    folder = bundle_folder(setting.out, export)
    if folder.exists():
        return
    random_init = (
        ["--random_init", f"--seed={SEED}"] if export.architecture in setting.random_init else []
    )
    arguments = [
        "export",
        f"--model={setting.sources[export.architecture]}",
        *random_init,
        f"--task={MODELS[export.architecture].task.name}",
        f"--optimizers={export.optimizers}",
        f"--batch_size={export.batch_size}",
        f"--lengths={TOKENS}",
        f"--out={folder}",
    ]
    run_module(f"export of {export.name}", "pocketllm.runtime.cli", arguments, {}, say)


def run_cell(setting: Setting, cell: Cell, say: Callable[[str], None]) -> dict:
    """Runs a cell; writes and returns its result; `say` takes each line that it prints.

    Raises:
      RunError: the cell failed, and not because of the memory limit.
    """
    forget(setting.out, cell)
    folder, run = setting.out / "cells" / cell.name, setting.out / "runs" / cell.name
    folder.mkdir(parents=True)
    if cell.side == POCKETLLM:
        command = _pocketllm_command(setting, cell, run)
    else:
        command = _pytorch_command(setting, cell, run, folder)
    caches_dropped = drop_caches()
    outcome = run_limited(
        [sys.executable, "-m", *command],
        setting.limit_bytes,
        folder / LOG,
        variables=thread_variables(setting.threads) | {LOG_VARIABLE: str(folder / LOG)},
        say=say,
        reset=lambda: shutil.rmtree(run, ignore_errors=True),
    )
    if outcome.ended.returncode and not outcome.out_of_memory:
        raise RunError(
            f"cell {cell.name} failed ({outcome.ended.how}): "
            f"{last_line((folder / LOG).read_text(errors='replace'))}; see {folder / LOG}, and "
            "run the same command again to go on"
        )
    result = asdict(cell) | {
        "name": cell.name,
        "outcome": OUT_OF_MEMORY if outcome.out_of_memory else DONE,
        "ended": outcome.ended.how,
        "seconds": outcome.ended.seconds,
        "limit_kind": outcome.kind,
        "limit_bytes": outcome.limit_bytes,
        "limit_peak_bytes": outcome.peak_bytes,
        "caches_dropped": caches_dropped,
        **_measured(run),
    }
    drop_parameters(run, but=())  # gigabytes, and no part of the report
    write_json(folder / RESULT, result)
    return result


def _pocketllm_command(setting, cell, run):
    """Returns module and arguments of `pocketllm train`."""
    eps = [f"--eps={EPS}"] if "eps" in OPTIMIZERS[cell.optimizer].option_names else []
    return [
        "pocketllm.runtime.cli",
        "train",
        f"--bundle={bundle_folder(setting.out, cell.export)}",
        f"--train={cell.model.task.rows}",
        f"--run={run}",
        f"--optimizer={cell.optimizer}",
        f"--steps={STEPS}",
        f"--batch_size={cell.batch_size}",
        f"--lr={cell.model.learning_rates[cell.optimizer]}",
        *eps,
        f"--seed={SEED}",
        f"--threads={setting.threads}",
    ]


def _pytorch_command(setting, cell, run, folder):
    """Returns module and arguments of the worker that trains with PyTorch."""
    request = Request(
        bundle=str(bundle_folder(setting.out, cell.export)),
        data=str(cell.model.task.rows),
        run=str(run),
        optimizer=cell.optimizer,
        batch_size=cell.batch_size,
        steps=STEPS,
        lr=cell.model.learning_rates[cell.optimizer],
        eps=EPS,
        seed=SEED,
        threads=setting.threads,
    )
    module = f"{__package__}.pytorch_run"
    return [module, json.dumps(asdict(request)), str(folder / "worker.json")]


def _measured(run):
    """Returns the figures of a run's steps; figures are None if it has no step."""
    names = ("step_seconds", "peak_anon_bytes", "peak_rss_bytes")
    path = run / METRICS
    if not path.exists() or not path.read_bytes().count(b"\n"):
        return {"steps_taken": 0, "losses": []} | dict.fromkeys(names)
    (record,) = read_runs([run])
    figures = summarise(record)
    losses = [step.loss for step in record.steps]
    return {"steps_taken": len(losses), "losses": losses} | {name: figures[name] for name in names}
