"""Repeats the PocketLLM paper's comparison of MeZO and Adam, with PyTorch beside, and reports it.

Every cell is a run of 10 steps on 64 tokens a row, in a process of its own under a hard memory
limit, so that "out of memory" is observed: RoBERTa on SST-2 with MeZO and Adam at two batch sizes
and OPT on rows in WiC's format with MeZO, each through `pocketllm train` and in PyTorch. The limit
is the 12 GB of the paper's phone (12e9 bytes; at --scale=micro a 16th of that): a memory cgroup
where one can be made, otherwise RLIMIT_DATA. File caches are dropped before each cell where that is
permitted.

The same command goes on where it stopped: a cell with a result is not run again. DIR then holds
report.md and report.json (the paper's tables beside ours), figure1.png and .svg (its loss curves),
curves/ (`pocketllm report` of all runs), cells/NAME (result and log) and runs/NAME. Bundles lie in
DIR/bundles while they are needed, on a disk: one in memory would count as memory.

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

from pocketllm.export.checkpoint.config import check_model_type
from pocketllm.runtime.commands.shared import MAX_THREADS, required
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import PACKAGES, cores, describe_machine
from pocketllm.runtime.host.files import read_json, sha256_of, write_json
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.run.lock import run_lock
from pocketllm.tflite_models.presets import PRESETS

from .cell import Setting, bundle_folder, export_bundle, finished, forget, run_cell
from .plan import (
    EPS,
    LEARNING_RATES,
    SCALES,
    SEED,
    STEPS,
    TASKS,
    TOKENS,
    cells_of,
    help_of_cells,
    help_of_scales,
)
from .report import check_agreement, write_reproduction
from .text import cell_line

__doc__ = __doc__.format(scales=help_of_scales(), cells=help_of_cells())

CONFIG = "reproduction.json"
MEASURED = (*PACKAGES, "torch", "transformers", "tensorflow", "matplotlib")
NEEDED = ("torch", "transformers", "tensorflow", "matplotlib")
# What a checkpoint must share with the scale's preset.
SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads")

FLAGS = flags.FlagValues()
flags.DEFINE_string("out", None, "folder to write, or to go on in", flag_values=FLAGS)
flags.DEFINE_enum("scale", "micro", list(SCALES), "size of the models", flag_values=FLAGS)
flags.DEFINE_multi_string(
    "model",
    [],
    "checkpoint folder of the scale's RoBERTa or OPT, may be given for both; none: random weights",
    flag_values=FLAGS,
)
flags.DEFINE_list("cells", [], "run just these, again if they have a result", flag_values=FLAGS)
flags.DEFINE_integer(
    "threads", 0, f"of every side, up to {MAX_THREADS}; 0 takes all cores", 0, MAX_THREADS,
    flag_values=FLAGS,
)  # fmt: skip


def run(values) -> dict:
    """Reproduces; see the module's docstring."""
    required(values, "out")
    _check_installed()
    scale = SCALES[values.scale]
    cells = cells_of(scale)
    asked = _asked(values.cells, cells)
    given = _checkpoints(values.model, scale)
    out = Path(values.out)
    setting = Setting(
        out=out,
        sources=scale.models | given,
        random_init=frozenset() if scale.has_weights else frozenset(scale.models) - set(given),
        limit_bytes=scale.limit_bytes,
        threads=values.threads or cores(),
    )
    config = _config(values.scale, setting)
    _check_folder(out, config)
    with run_lock(out):
        write_json(out / CONFIG, config)
        for cell in asked:
            forget(out, cell)
        todo = [cell for cell in asked or cells if finished(out, cell) is None]
        _run_cells(setting, todo, len(cells))
        return _report(setting, values, scale, config, cells)


def _run_cells(setting, todo, total):
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
    given = [f"--model={folder}" for folder in values.model]
    command = ["pocketllm", "reproduce", f"--out={values.out}", f"--scale={values.scale}", *given]
    if values.threads:
        command.append(f"--threads={values.threads}")
    results = {cell.name: finished(setting.out, cell) for cell in cells}
    result = write_reproduction(setting.out, scale, config, results, command)
    print(setting.out / "report.md")
    check_agreement(result)
    return result


def _asked(names, cells):
    known = {cell.name: cell for cell in cells}
    for name in names:
        if name not in known:
            raise InputError(f"--cells: no cell {name!r}, expected some of {', '.join(known)}")
    return [cell for cell in cells if cell.name in names]


def _checkpoints(folders, scale):
    """Returns {family: checkpoint folder} of --model, each of the scale's size."""
    given = {}
    for folder in (part for folder in folders for part in folder.split(",") if part):
        path = Path(folder) / "config.json"
        config = read_json(path, "give a Hugging Face checkpoint folder as --model")
        family = check_model_type(config, str(path))
        if family in given:
            raise InputError(f"--model: {given[family]} and {folder} are both {family} models")
        preset = scale.models[family]
        expected = read_json(PRESETS[preset].config_path, "install again")
        for name in SIZES:
            if config.get(name) != expected[name]:
                raise InputError(
                    f"{path}: {name} is {config.get(name)}, expected {expected[name]} as in "
                    f"{preset}; choose another --scale or checkpoint"
                )
        given[family] = str(Path(folder).resolve())
    return given


def _config(scale_name, setting):
    """Returns what must be the same for cells to be comparable."""
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
        "lr": {f"{family} {optimizer}": lr for (family, optimizer), lr in LEARNING_RATES.items()},
        "rows_sha256": {task.name: sha256_of(task.rows) for task in TASKS.values()},
        "machine": machine,
    }


def _check_folder(out, config):
    """Refuses a folder that holds something else, or cells that could not be compared."""
    if not (out / CONFIG).exists():
        if out.exists() and (not out.is_dir() or {p.name for p in out.iterdir()} - {".lock"}):
            raise InputError(f"{out}: exists and holds no reproduction; choose another --out")
        return
    held, wanted = _flat(read_json(out / CONFIG, "choose another --out")), _flat(config)
    names = [name for name in {**held, **wanted} if held.get(name) != wanted.get(name)]
    if names:
        changes = ", ".join(f"{n} {held.get(n)!r} -> {wanted.get(n)!r}" for n in names)
        raise InputError(
            f"{out}: holds a reproduction with another config ({changes}); choose another --out"
        )


def _flat(config, prefix=""):
    flat = {}
    for name, value in config.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return flat


def _check_installed():
    for package in NEEDED:
        if util.find_spec(package) is None:
            raise InputError(f"{package} is missing; this needs the desktop (`make install`)")
