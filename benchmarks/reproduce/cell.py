"""One cell of a reproduction: its bundle, its run under the memory limit, its result.

A cell NAME has the run directory DIR/runs/NAME, and DIR/cells/NAME with the log and, written last,
result.json: what has one is finished.
"""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pocketllm.runtime.contract import MEZO
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.files import read_json, write_json
from pocketllm.runtime.host.native_output import LOG_VARIABLE
from pocketllm.runtime.run.lines import METRICS
from pocketllm.runtime.run.parameters import drop_parameters

from ..isolation.memory_limit import drop_caches, run_limited
from ..isolation.worker import last_line, run_module, thread_variables
from ..report.data import read_runs, summarise
from .plan import EPS, LEARNING_RATES, POCKETLLM, SEED, STEPS, TASKS, TOKENS, Cell, Export
from .request import Request

RESULT, LOG = "result.json", "log.txt"
DONE, OUT_OF_MEMORY = "done", "out of memory"


@dataclass(frozen=True)
class Setting:
    """What all cells of a reproduction share.

    Attributes:
      out: DIR.
      sources: family -> preset or checkpoint folder.
      random_init: families whose weights are random.
      limit_bytes: on the memory of a cell.
      threads: of the kernels.
    """

    out: Path
    sources: dict[str, str]
    random_init: frozenset[str]
    limit_bytes: int
    threads: int


def finished(out: Path, cell: Cell) -> dict | None:
    """Returns a finished cell's result, else None."""
    path = out / "cells" / cell.name / RESULT
    return read_json(path, f"remove {path.parent} to run it again") if path.exists() else None


def forget(out: Path, cell: Cell) -> None:
    """Removes all that a cell left, its result first."""
    (out / "cells" / cell.name / RESULT).unlink(missing_ok=True)
    for folder in (out / "cells" / cell.name, out / "runs" / cell.name):
        if folder.exists():
            shutil.rmtree(folder)


def bundle_folder(out: Path, export: Export) -> Path:
    """Returns where a bundle lies while cells need it."""
    return out / "bundles" / export.name


def export_bundle(setting: Setting, export: Export, say: Callable[[str], None]) -> None:
    """Exports a cell's bundle, unless it is there."""
    folder = bundle_folder(setting.out, export)
    if folder.exists():
        return
    random_init = (
        ["--random_init", f"--seed={SEED}"] if export.family in setting.random_init else []
    )
    arguments = [
        "export",
        f"--model={setting.sources[export.family]}",
        *random_init,
        f"--task={TASKS[export.family].name}",
        f"--optimizers={export.optimizers}",
        f"--batch_size={export.batch_size}",
        f"--lengths={TOKENS}",
        f"--out={folder}",
    ]
    run_module(f"export of {export.name}", "pocketllm.runtime.cli", arguments, {}, say)


def run_cell(setting: Setting, cell: Cell, say: Callable[[str], None]) -> dict:
    """Runs a cell and returns its result, which is then on the disk too.

    Raises:
      RunError: it failed, and not for want of memory.
    """
    forget(setting.out, cell)
    folder, run = setting.out / "cells" / cell.name, setting.out / "runs" / cell.name
    folder.mkdir(parents=True)
    command = (_ours if cell.side == POCKETLLM else _theirs)(setting, cell, run, folder)
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
    drop_parameters(run, but=())  # gigabytes that nobody asked for
    write_json(folder / RESULT, result)
    return result


def _ours(setting, cell, run, folder):
    """Returns the command of the product itself."""
    eps = [f"--eps={EPS}"] if cell.optimizer == MEZO else []
    return [
        "pocketllm.runtime.cli",
        "train",
        f"--bundle={bundle_folder(setting.out, cell.export)}",
        f"--train={TASKS[cell.family].rows}",
        f"--run={run}",
        f"--optimizer={cell.optimizer}",
        f"--steps={STEPS}",
        f"--batch_size={cell.batch_size}",
        f"--lr={LEARNING_RATES[cell.family, cell.optimizer]}",
        *eps,
        f"--seed={SEED}",
        f"--threads={setting.threads}",
    ]


def _theirs(setting, cell, run, folder):
    asked = Request(
        bundle=str(bundle_folder(setting.out, cell.export)),
        data=str(TASKS[cell.family].rows),
        run=str(run),
        optimizer=cell.optimizer,
        batch_size=cell.batch_size,
        steps=STEPS,
        lr=LEARNING_RATES[cell.family, cell.optimizer],
        eps=EPS,
        seed=SEED,
        threads=setting.threads,
    )
    module = f"{__package__}.pytorch_run"
    return [module, json.dumps(asdict(asked)), str(folder / "worker.json")]


def _measured(run):
    """Returns the figures of the steps that were taken, None where none was."""
    names = ("step_seconds", "peak_anon_bytes", "peak_rss_bytes")
    path = run / METRICS
    if not path.exists() or not path.read_bytes().count(b"\n"):
        return {"steps_taken": 0, "losses": []} | dict.fromkeys(names)
    (held,) = read_runs([run])
    figures = summarise(held)
    losses = [line.loss for line in held.lines]
    return {"steps_taken": len(losses), "losses": losses} | {n: figures[n] for n in names}
