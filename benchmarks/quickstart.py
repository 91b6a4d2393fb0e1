"""Exports a small model for SST-2, evaluates it, fine-tunes it with MeZO and evaluates it again.

Everything it runs are pocketllm commands, printed as it goes; data and checkpoint come with the
package, and nothing leaves the machine. WORKDIR then holds the bundle, the runs and a plot.

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
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.tflite_models.presets import MICRO

from .report.data import read_runs
from .report.figures import ACCURACY, LOSS, draw_runs

# (model, what is trained) -> learning rate and its schedule, from small searches.
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
flags.DEFINE_enum("model", MODELS[0], MODELS, "a bundled model", flag_values=FLAGS)
flags.DEFINE_enum("tune", contract.FULL, TUNES, "what is trained", flag_values=FLAGS)
flags.DEFINE_enum(
    "base", contract.FP32, list(contract.BASES), "how the rest is stored", flag_values=FLAGS
)
flags.DEFINE_string("workdir", "quickstart", "folder for everything it writes", flag_values=FLAGS)
flags.DEFINE_list("seeds", ["0"], "one run for each of these seeds", flag_values=FLAGS)
flags.DEFINE_integer("steps", 600, "MeZO steps of a run", flag_values=FLAGS)


def run(values) -> dict:
    """Runs the commands; see the module's docstring."""
    seeds = _seeds(values.seeds)
    if values.steps < 1:
        raise InputError(f"--steps={values.steps}: expected 1 or more")
    if (values.model, values.tune) not in RATES:
        raise InputError(f"--tune={values.tune}: no learning rate is known for {values.model}")
    lr, schedule = RATES[values.model, values.tune]
    started = time.monotonic()
    workdir = Path(values.workdir)
    bundle, held_out = workdir / "bundle", MICRO / "sst2_heldout.tsv"
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
    before = _evaluate(workdir, bundle, held_out)
    runs = {}
    for seed in seeds:
        folder = workdir / f"run-seed{seed}"
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
        runs[folder] = _evaluate(workdir, bundle, held_out, folder)
    plot = workdir / "run.png"
    stars = {
        folder.name: [(0, before["accuracy"]), (after["step"], after["accuracy"])]
        for folder, after in runs.items()
    }
    draw_runs(read_runs(list(runs)), [plot], [LOSS, ACCURACY], columns=1, held_out=stars)
    return _report(workdir, bundle, plot, before, runs, time.monotonic() - started)


def _seeds(texts):
    try:
        return sorted({int(text) for text in texts})
    except ValueError as error:
        raise InputError(f"--seeds={','.join(texts)}: expected whole numbers") from error


def _evaluate(workdir, bundle, data, folder=None):
    result = workdir / "eval.json"
    tuned = [] if folder is None else [f"--run={folder}"]
    _pocketllm("eval", f"--bundle={bundle}", f"--data={data}", *tuned, f"--json={result}")
    found = json.loads(result.read_text())
    result.unlink()
    return found


def _pocketllm(*arguments):
    """Runs one command in a process of its own, so that its memory figures are its own."""
    print(f"\n$ pocketllm {shlex.join(arguments)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "pocketllm.runtime.cli", *arguments])
    if done.returncode == 2:
        raise InputError(
            f"`pocketllm {arguments[0]}` refused its input, see the line above; "
            "a --workdir from another time can be removed"
        )
    if done.returncode:
        raise RunError(f"`pocketllm {arguments[0]}` ended with exit code {done.returncode}")


def _report(workdir, bundle, plot, before, runs, seconds):
    gains = [100 * (after["accuracy"] - before["accuracy"]) for after in runs.values()]
    print(f"\nSST-2, {before['examples']} held-out sentences   accuracy    loss")
    print(f"  untuned{'':<31}{100 * before['accuracy']:>8.1f}%{before['loss']:>8.4f}")
    for folder, after in runs.items():
        name = f"after {after['step']} MeZO steps ({folder.name})"
        print(f"  {name:<38}{100 * after['accuracy']:>8.1f}%{after['loss']:>8.4f}")
    spread = f" (from {min(gains):+.1f} to {max(gains):+.1f})" if len(gains) > 1 else ""
    print(f"  gain {statistics.mean(gains):+.1f} points{spread}, {seconds:.0f} s in all\n")
    print(f"bundle  {bundle}\nruns    {', '.join(map(str, runs))}\nplot    {plot}")
    return {
        "workdir": str(workdir),
        "plot": str(plot),
        "before": before,
        "after": {str(folder): after for folder, after in runs.items()},
        "gain_points": gains,
        "seconds": seconds,
    }
