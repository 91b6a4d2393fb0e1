"""`pocketllm bench --race`: exports the start, runs the trials, writes the report."""

import math
import time
from pathlib import Path

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import required
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import PACKAGES, cores, describe_machine
from pocketllm.runtime.host.files import sha256_of, write_json
from pocketllm.runtime.host.lock import run_lock
from pocketllm.runtime.host.progress import Progress

from .again import check_folder, command_of, write_report
from .arms import BATCH_SIZE, Trial, arms_named, seeds_of
from .figure import race_figure
from .report import race_table, race_text, summary_of
from .search import MOST_RATES, search_rate
from .trials import (
    DATA,
    HELD_OUT,
    RESULTS,
    SPLIT,
    Course,
    evaluate_start,
    export_start,
    export_weights,
    is_finished,
    run_trial,
)

CONFIG = "race.json"
# Of an earlier time of the same race may differ: who runs, not what a run is.
FREE = ("arms", "seeds")

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.string("out", None, "folder to write, or to continue in (--race)")
define.list("arms", ["adam", "mezo"], "optimizers to compare (--race)")
define.list("seeds", ["0", "1", "2"], "random seeds, a run of each arm for each (--race)")
define.integer("forwards", 300, "budget of a run, in forward passes of a batch (--race)", 1)
define.float("budget", 0.0, "hours after which no run begins, 0 for any (--race)", 0.0)


def run_race(values) -> dict:
    """Runs a race, prints its table and writes its report; returns report.json's contents."""
    required(values, "model", "out")
    _check(values)
    arms, seeds = arms_named(values.arms, values.forwards), seeds_of(values.seeds)
    out, threads = Path(values.out), values.threads or cores()
    config = _config(values, arms, seeds, threads)
    with run_lock(out):
        check_folder(out / CONFIG, config, FREE, "race")
        write_json(out / CONFIG, config)
        with Progress("race", _most_trials(arms, seeds), "run") as bar:
            course = Course(out, threads, say=lambda line: bar.say(f"  {line}"))
            bar.say(f"exporting {values.model}")
            _export(course, _settings(values, config))
            if any(arm.in_pytorch for arm in arms):
                export_weights(course, values.model)
            untuned = evaluate_start(course)
            ends = time.monotonic() + 3600 * (values.budget or math.inf)
            summaries = []
            for arm in arms:
                summary = _run_arm(course, arm, arm.steps(values.forwards), seeds, (bar, ends))
                if summary is None:
                    bar.say(f"--budget={values.budget:g}: {arm.name} is left out; the same command")
                    bar.say("  with more goes on")
                    break
                summaries.append(summary)
        result = {
            "config": config,
            "command": command_of(values, ("bench", "--race")),
            "untuned": untuned,
            "arms": summaries,
        }
        return write_report(out, result, race_figure, race_text, race_table)


def _run_arm(course, arm, steps, seeds, limits):
    """Searches an arm's rate and runs its seeds; returns its summary, None where time ran out."""
    bar, ends = limits

    def run(trial: Trial) -> dict:
        if not is_finished(course, trial) and time.monotonic() > ends:
            raise TimeoutError
        bar.say(f"{trial.name}, {trial.steps} steps")
        result = run_trial(course, trial)
        bar.advance(1)
        return result

    trials = []
    try:
        lr, searched = search_rate(arm, steps, run)
        bar.advance(MOST_RATES - len(searched))
        for seed in seeds:
            trials.append(run(Trial(arm, lr, seed, steps, compared=True)))
    except TimeoutError:
        if not trials:
            return None
    return summary_of(arm.name, lr, searched, trials)


def _export(course, settings):
    """Exports the start; a model that is refused leaves no race behind."""
    try:
        export_start(course, settings)
    except InputError:
        if not (course.out / RESULTS).exists():
            (course.out / CONFIG).unlink()
        raise


def _check(values):
    """Raises InputError for a tuning without known learning rates, or another engine."""
    if values["tune"].present and values.tune != contract.LORA:
        raise InputError(
            f"--tune={values.tune}: --race knows learning rates of LoRA alone; leave it out"
        )
    if values.engine != "litert":
        raise InputError(f"--engine={values.engine}: --race trains in litert; leave it out")


def _config(values, arms, seeds, threads):
    """Returns what the runs of a race have in common, and who takes part."""
    return {
        "model": values.model,
        "model_name": Path(values.model).name,
        "tune": contract.LORA,
        "base": values.base if values["base"].present else contract.INT8,
        "noise": values.noise or contract.NOISE_KINDS[0],
        "seed": values.seed,
        "forwards": values.forwards,
        "batch_size": BATCH_SIZE,
        "split": SPLIT,
        "data_sha256": {path.name: sha256_of(path) for path in (DATA, HELD_OUT)},
        "threads": threads,
        "arms": [arm.name for arm in arms],
        "seeds": seeds,
        "machine": describe_machine((*PACKAGES, "tensorflow", "matplotlib")),
    }


def _settings(values, config):
    return [
        f"--model={values.model}",
        *(f"--{name}={config[name]}" for name in ("tune", "base", "noise", "seed")),
    ]


def _most_trials(arms, seeds):
    return len(arms) * (len(seeds) + MOST_RATES)
