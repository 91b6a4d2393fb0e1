"""Exports a small model for SST-2, evaluates it, fine-tunes it with MeZO and evaluates it again.

It runs pocketllm commands and prints them. Data and checkpoint are in the package; nothing is
downloaded or sent. WORKDIR then holds the bundle, the runs and a plot.

examples:
  pocketllm quickstart
  pocketllm quickstart --seeds=0,1,2
  pocketllm quickstart --model=opt-micro --workdir=quickstart-opt
  pocketllm quickstart --tune=lora --base=int8 --workdir=quickstart-lora
"""

import json
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.tflite_models.presets import MICRO

from .report.data import read_runs
from .report.figures import ACCURACY, LOSS, draw_runs

# (model, tuning) -> learning rate and its schedule, from small searches
RATES = {
    ("roberta-micro", contract.FULL): (1e-4, "constant"),
    ("roberta-micro", contract.LORA): (1e-2, "linear"),
    ("roberta-micro", contract.PREFIX): (6.0, "linear"),
    ("opt-micro", contract.FULL): (1e-4, "constant"),
}
MODELS = list(dict.fromkeys(model for model, _ in RATES))
TUNES = list(dict.fromkeys(tune for _, tune in RATES))
BATCH_SIZE, EVAL_EVERY = 64, 50

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.enum("model", MODELS[0], MODELS, "model whose checkpoint is in the package")
define.enum("tune", contract.FULL, TUNES, "parameters that are trained")
define.enum("base", contract.FP32, list(contract.BASES), "storage of the frozen parameters")
define.string("workdir", "quickstart", "folder for all files")
define.list("seeds", ["0"], "random seeds, one run for each")
define.integer("steps", 600, "MeZO steps of a run")


def run(values) -> dict:
    """Runs the commands; see the module's docstring."""
    seeds = _seeds(values.seeds)
    if values.steps < 1:
        raise InputError(f"--steps={values.steps}: expected 1 or more")
    if (values.model, values.tune) not in RATES:
        raise InputError(f"--tune={values.tune}: no learning rate is known for {values.model}")
    started = time.monotonic()
    workdir = Path(values.workdir)
    bundle, held_out = workdir / "bundle", MICRO / "sst2_heldout.tsv"
    _export(values, bundle)
    before = _evaluate(workdir, bundle, held_out)
    after = {}
    for seed in seeds:
        folder = workdir / f"run-seed{seed}"
        _train(values, bundle, folder, seed)
        after[folder] = _evaluate(workdir, bundle, held_out, folder)
    plot = workdir / "run.png"
    stars = {
        folder.name: [(0, before["accuracy"]), (result["step"], result["accuracy"])]
        for folder, result in after.items()
    }
    draw_runs(read_runs(list(after)), [plot], [LOSS, ACCURACY], columns=1, held_out=stars)
    gains = [100 * (result["accuracy"] - before["accuracy"]) for result in after.values()]
    seconds = time.monotonic() - started
    _print_table(before, after, gains, seconds)
    print(f"bundle  {bundle}\nruns    {', '.join(map(str, after))}\nplot    {plot}")
    return {
        "workdir": str(workdir),
        "plot": str(plot),
        "before": before,
        "after": {str(folder): result for folder, result in after.items()},
        "gain_points": gains,
        "seconds": seconds,
    }


def _seeds(texts):
    try:
        return sorted({int(text) for text in texts})
    except ValueError as error:
        raise InputError(f"--seeds={','.join(texts)}: expected whole numbers") from error


def _export(values, bundle):
    _pocketllm(
        "export",
        f"--model={values.model}",
        "--task=sst2",
        "--lengths=32,64,128",
        f"--tune={values.tune}",
        f"--base={values.base}",
        f"--out={bundle}",
        "--force",
    )


def _train(values, bundle, folder, seed):
    lr, schedule = RATES[values.model, values.tune]
    _pocketllm(
        "train",
        f"--bundle={bundle}",
        f"--train={MICRO / 'sst2_train.tsv'}",
        f"--dev={MICRO / 'sst2_dev.tsv'}",
        f"--run={folder}",
        f"--steps={values.steps}",
        f"--batch_size={BATCH_SIZE}",
        f"--lr={lr:g}",
        f"--lr_schedule={schedule}",
        f"--eval_every={EVAL_EVERY}",
        f"--seed={seed}",
    )


def _evaluate(workdir, bundle, data, folder=None):
    """Returns the result of `pocketllm eval` of a bundle, or of the run in a folder."""
    result = workdir / "eval.json"
    tuned = [] if folder is None else [f"--run={folder}"]
    _pocketllm("eval", f"--bundle={bundle}", f"--data={data}", *tuned, f"--json={result}")
    evaluation = json.loads(result.read_text())
    result.unlink()
    return evaluation


def _pocketllm(*arguments):
    """Runs a command in its own process, so that its memory figures count nothing else."""
    print(f"\n$ pocketllm {shlex.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "pocketllm.runtime.cli", *arguments])
    if done.returncode == 2:
        raise InputError(
            f"`pocketllm {arguments[0]}` refused its input, see the line above; "
            "a --workdir from another time can be removed"
        )
    if done.returncode:
        raise RunError(f"`pocketllm {arguments[0]}` ended with exit code {done.returncode}")


def _print_table(before, after, gains, seconds):
    """Prints accuracy and loss before and after; `after` is {run directory: evaluation}."""
    print(f"\nSST-2, {before['examples']} held-out sentences   accuracy    loss")
    print(f"  untuned{'':<31}{100 * before['accuracy']:>8.1f}%{before['loss']:>8.4f}")
    for folder, result in after.items():
        name = f"after {result['step']} MeZO steps ({folder.name})"
        print(f"  {name:<38}{100 * result['accuracy']:>8.1f}%{result['loss']:>8.4f}")
    spread = f" (from {min(gains):+.1f} to {max(gains):+.1f})" if len(gains) > 1 else ""
    print(f"  gain {statistics.mean(gains):+.1f} points{spread}, {seconds:.0f} s in all\n")
