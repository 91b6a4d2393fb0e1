"""Repeats the PocketLLM paper's comparison of MeZO and Adam, also in PyTorch, and reports it.

Every cell is a run of 10 steps on 64 tokens a row, in its own process under a hard memory limit, so
that "out of memory" is observed: RoBERTa on SST-2 with MeZO and Adam at two batch sizes, and OPT on
rows in WiC's format with MeZO, each with `pocketllm train` and in PyTorch. The limit is the 12 GB
of the paper's phone (12e9 bytes; a 16th of that at --scale=micro), set by a memory cgroup if one
can be made, else by RLIMIT_DATA. File caches are dropped before each cell if that is permitted.

The same command continues where it stopped: a cell with a result is not run again. DIR then holds
report.md and report.json (the paper's tables beside ours), figure1.png and .svg (its loss curves),
curves/ (`pocketllm report` of all runs), cells/NAME (result and log) and runs/NAME. DIR/bundles
holds bundles while cells need them; it must lie on a disk, for files in memory count as memory.

  --scale  RoBERTa, OPT                   batches   limit    needs
  {scales}

cells, of --scale=micro with 320 for 64:
  {cells}

examples:
  pocketllm reproduce --out=micro
  pocketllm reproduce --out=large --scale=large --model=roberta-large-dir --model=opt-1.3b-dir
  pocketllm reproduce --out=large --scale=large --cells=pytorch-roberta-adam-64
"""

import shutil
from importlib import util
from pathlib import Path

from absl import flags

from pocketllm.export.models import architecture_in
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import MAX_THREADS, required
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import PACKAGES, cores, describe_machine
from pocketllm.runtime.host.files import read_json, sha256_of, write_json
from pocketllm.runtime.host.lock import run_lock
from pocketllm.runtime.host.progress import Progress
from pocketllm.tflite_models.presets import PRESETS

from .cell import Setting, bundle_folder, export_bundle, finished, forget, run_cell
from .plan import (
    EPS,
    MODELS,
    SCALES,
    SEED,
    STEPS,
    TOKENS,
    cells_of,
    help_of_cells,
    help_of_scales,
)
from .report import check_agreement, write_reproduction
from .text import cell_line

__doc__ = (__doc__ or "").format(scales=help_of_scales(), cells=help_of_cells())

CONFIG = "reproduction.json"
MEASURED = (*PACKAGES, "torch", "transformers", "tensorflow", "matplotlib")
NEEDED = ("torch", "transformers", "tensorflow", "matplotlib")
# Values of config.json that a checkpoint must share with the scale's preset.
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads")

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("out", None, "folder to write, or to continue in")
define.enum("scale", "micro", list(SCALES), "size of the models and of the limit")
define.multi_string(
    "model",
    [],
    f"checkpoint folder of the scale's {' or '.join(m.title for m in MODELS.values())}, once for "
    "each; none: random weights",
)
define.list("cells", [], "cells to run, again if they have a result; none: all others")
define.integer(
    "threads",
    0,
    f"kernel threads on both sides, up to {MAX_THREADS}; 0 takes all cores",
    0,
    MAX_THREADS,
)


def run(values) -> dict:
    """Reproduces; see the module's docstring."""
    required(values, "out")
    _check_installed()
    scale = SCALES[values.scale]
    cells = cells_of(scale)
    chosen = _chosen_cells(values.cells, cells)
    checkpoints = _checkpoints(values.model, scale)
    random_init = set() if scale.has_weights else set(scale.models) - set(checkpoints)
    out = Path(values.out)
    setting = Setting(
        out=out,
        sources=scale.models | checkpoints,
        random_init=frozenset(random_init),
        limit_bytes=scale.limit_bytes,
        threads=values.threads or cores(),
    )
    config = _config(values.scale, setting)
    _check_folder(out, config)
    with run_lock(out):
        write_json(out / CONFIG, config)
        for cell in chosen:
            forget(out, cell)
        todo = [cell for cell in chosen or cells if finished(out, cell) is None]
        _run_cells(setting, todo, len(cells))
        return _report(setting, values, scale, config, cells)


def _run_cells(setting, todo, total):
    """Runs cells one after the other; a bundle is exported before, and removed after, its cells."""
    done = total - len(todo)
    with Progress("reproduction", len(todo), "cell") as bar:
        for number, cell in enumerate(todo):
            folder = bundle_folder(setting.out, cell.export)
            if not folder.exists():
                bar.say(f"exporting {cell.export.name}")
            export_bundle(setting, cell.export, say=lambda line: bar.advance(0, line))
            bar.say(f"cell {cell.name} ({number + 1} of {len(todo)})")
            result = run_cell(setting, cell, say=lambda line: bar.advance(0, line))
            bar.say(f"  {cell_line(result)}")
            bar.advance(1)
            if all(other.export != cell.export for other in todo[number + 1 :]):
                shutil.rmtree(folder)
    if done and todo:
        print(f"{done} of {total} cells were not run this time")


def _report(setting, values, scale, config, cells):
    """Writes the report, with the command that repeats it; returns its contents."""
    command = ["pocketllm", "reproduce", f"--out={values.out}", f"--scale={values.scale}"]
    command += [f"--model={folder}" for folder in values.model]
    if values.threads:
        command.append(f"--threads={values.threads}")
    results = {cell.name: finished(setting.out, cell) for cell in cells}
    result = write_reproduction(setting.out, scale, config, results, command)
    print(setting.out / "report.md")
    check_agreement(result)
    return result


def _chosen_cells(names, cells):
    known = {cell.name: cell for cell in cells}
    for name in names:
        if name not in known:
            raise InputError(f"--cells: no cell {name!r}, expected some of {', '.join(known)}")
    return [cell for cell in cells if cell.name in names]


def _checkpoints(models, scale):
    """Returns {architecture: checkpoint folder} of --model, each of the scale's size."""
    checkpoints = {}
    for folder in (part for model in models for part in model.split(",") if part):
        path = Path(folder) / "config.json"
        config = read_json(path, "give a Hugging Face checkpoint folder as --model")
        architecture = architecture_in(config, str(path)).model_type
        if architecture not in scale.models:
            raise InputError(
                f"{path}: model_type is {architecture}, the paper's models are "
                f"{', '.join(scale.models)}; give a checkpoint of one of them as --model"
            )
        if architecture in checkpoints:
            raise InputError(
                f"--model: {checkpoints[architecture]} and {folder} are both {architecture} models"
            )
        preset = scale.models[architecture]
        expected = read_json(PRESETS[preset].config_path, "install again")
        for name in SIZES:
            if config.get(name) != expected[name]:
                raise InputError(
                    f"{path}: {name} is {config.get(name)}, expected {expected[name]} as in "
                    f"{preset}; choose another --scale or checkpoint"
                )
        checkpoints[architecture] = str(Path(folder).resolve())
    return checkpoints


def _config(scale_name, setting):
    """Returns the values that must be equal for cells to be comparable."""
    machine = describe_machine(MEASURED)
    return {
        "scale": scale_name,
        "models": setting.sources,
        "random_init": sorted(setting.random_init),
        "limit_bytes": setting.limit_bytes,
        "threads": setting.threads,
        "steps": STEPS,
        "tokens": TOKENS,
        "seed": SEED,
        "eps": EPS,
        "lr": {
            f"{architecture} {optimizer}": lr
            for architecture, model in MODELS.items()
            for optimizer, lr in model.learning_rates.items()
        },
        "rows_sha256": {m.task.name: sha256_of(m.task.rows) for m in MODELS.values()},
        "machine": machine,
    }


def _check_folder(out, config):
    """Raises InputError for a folder with other contents, or with cells of another config."""
    if not (out / CONFIG).exists():
        if out.exists() and (not out.is_dir() or {p.name for p in out.iterdir()} - {".lock"}):
            raise InputError(f"{out}: exists and holds no reproduction; choose another --out")
        return
    old, new = _flat(read_json(out / CONFIG, "choose another --out")), _flat(config)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if names:
        changes = ", ".join(f"{name} {old.get(name)!r} -> {new.get(name)!r}" for name in names)
        raise InputError(
            f"{out}: holds a reproduction with another config ({changes}); choose another --out"
        )


def _flat(config, prefix=""):
    """Returns {"outer.inner": value} of nested dicts."""
    flat = {}
    for name, value in config.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return flat


def _check_installed():
    for package in NEEDED:
        if util.find_spec(package) is None:
            raise InputError(
                f"{package} is missing; this needs the desktop installation (`make install`, "
                "which says what it leaves out)"
            )
