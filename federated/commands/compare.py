"""Compares federations of many clients with runs on all data, and with what liars make of them.

Every arm takes --steps steps of MeZO once a seed, in this process, on one open model. The arms:

  central, alone                      all data in one place: a round's batch, or one client's
  iid, dirichlet-0.5, dirichlet-0.1   --clients clients, of which a round asks --fraction, whose
                                      labels differ by a Dirichlet distribution
  ten, ten-median, ten-trimmed        as many clients as a round asks, all of them asked
  median-nan, median-huge, median-turned, trimmed-nan, trimmed-huge, trimmed-turned,
  mean-turned, unbounded-turned       the same, where a fifth of the clients sends no number, 1e30,
                                      or slopes of -10 times the truth; unbounded: the mean without
                                      the bound that every rule has

A client has --batch_size rows a step, `central` as many as all clients of a round: with as many
steps these are the same forward passes. Learning rates are searched for on the dev examples, in
the same way for central, alone and iid; the others take that of iid. The held-out examples are
evaluated after the last step, and choose nothing.

The same command goes on where it stopped, and takes other --arms and --seeds. --out then holds
report.md, report.json, curves.png and .svg, runs/ and results/. Without data files those of
roberta-micro's SST-2 are taken.

examples:
  pocketllm export --model=roberta-micro --task=sst2 --batch_size=4 --lengths=32,48,64 --out=micro4
  pocketllm federate compare --bundle=micro4 --out=compared --steps=100
"""

from pathlib import Path

from absl import flags

from pocketllm.benchmarks.bench.race.again import check_folder, command_of, once, write_report
from pocketllm.benchmarks.bench.race.arms import Trial, seeds_of
from pocketllm.benchmarks.bench.race.search import search_rate
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.commands.flags import definer
from pocketllm.runtime.commands.shared import (
    define_session_flags,
    open_bundle,
    open_session,
    required,
)
from pocketllm.runtime.data.dataset import load_dataset
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.cpu import PACKAGES, cores, describe_machine
from pocketllm.runtime.host.files import write_json
from pocketllm.runtime.host.lock import run_lock
from pocketllm.runtime.host.progress import Progress
from pocketllm.runtime.run.evaluate import evaluate
from pocketllm.tflite_models.presets import MICRO

from ..comparison.arms import DEFAULT, SCHEDULE, ComparedArm, compared_arms
from ..comparison.figure import comparison_figure
from ..comparison.lies import LIARS_SHARE
from ..comparison.report import comparison_table, comparison_text, summary_of
from ..comparison.trials import RESULTS, Course, run_trial
from .shared import client_calls

CONFIG = "comparison.json"
FREE = ("arms", "seeds", "machine")  # who runs, not what a run is
UNTUNED = "untuned"

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_session_flags(FLAGS)
define.string("out", None, "folder to write, or to continue in")
define.string("train", None, "training data, of all clients together")
define.string("dev", None, "data that chooses learning rates")
define.string("held_out", None, "data that chooses nothing")
define.list("arms", list(DEFAULT), "what to compare")
define.list("seeds", ["0", "1", "2"], "random seeds, a run of each arm for each")
define.integer("clients", 100, "clients of a federation of many", 1)
define.float("fraction", 0.1, "share of them that a round asks", 0.0, 1.0)
define.integer("steps", 100, "length of a run", 1)
define.integer("batch_size", 4, "rows of a client a step", 1)


def run(values) -> dict:
    """Compares; see the module's docstring."""
    required(values, "bundle", "out")
    arms, seeds = compared_arms(values.arms), seeds_of(values.seeds)
    per_round = max(1, round(values.fraction * values.clients))
    if per_round < LIARS_SHARE and any(arm.lie for arm in arms):
        raise InputError(
            f"--fraction={values.fraction:g}: {per_round} clients a round, {LIARS_SHARE} are the "
            "fewest of which one can lie"
        )
    bundle, out = open_bundle(values), Path(values.out)
    config = _config(values, bundle, per_round, (arms, seeds))
    with run_lock(out):
        check_folder(out / CONFIG, config, FREE, "comparison")
        write_json(out / CONFIG, config)
        course = _course(values, bundle, per_round)
        untuned = once(out / RESULTS / f"{UNTUNED}.json", lambda: _untuned(course))
        with Progress("comparing", len(arms) * len(seeds), "run") as bar:
            summaries = _summaries(course, arms, seeds, values.steps, bar)
        result = {
            "config": config,
            "command": command_of(values, ("federate", "compare")),
            "untuned": untuned,
            "arms": summaries,
        }
        return write_report(out, result, comparison_figure, comparison_text, comparison_table)


def _course(values, bundle, per_round):
    files = _data_files(values).values()
    data, dev, held_out = (
        load_dataset(file, bundle, training=not n) for n, file in enumerate(files)
    )
    for dataset in (data, dev, held_out):
        print(dataset.describe(), flush=True)
    lengths = set().union(*(d.buckets(bundle.lengths) for d in (data, dev, held_out)))
    model = open_session(values, bundle, client_calls(lengths))
    size, clients = values.batch_size, values.clients
    return Course(Path(values.out), model, data, dev, held_out, clients, per_round, size)


def _data_files(values):
    """Returns {flag: path} of the data, roberta-micro's where none is given."""
    own = (("train", "sst2_train"), ("dev", "sst2_dev"), ("held_out", "sst2_heldout"))
    return {flag: values[flag].value or str(MICRO / f"{name}.tsv") for flag, name in own}


def _summaries(course, arms, seeds, steps, bar):
    """Runs every arm, those whose rate others take first; returns their figures."""
    rates: dict[str, tuple[float, list[dict]]] = {}

    def run_one(trial: Trial) -> dict:
        bar.say(trial.name)
        return run_trial(course, trial)

    def rate_of(arm: ComparedArm):
        if arm.rate_of:
            (source,) = compared_arms([arm.rate_of])
            return rate_of(source)[0], []
        if arm.name not in rates:
            rates[arm.name] = search_rate(arm, steps, run_one)
        return rates[arm.name]

    summaries = []
    for arm in arms:
        lr, searched = rate_of(arm)
        trials = []
        for seed in seeds:
            trials.append(run_one(Trial(arm, lr, seed, steps, compared=True)))
            bar.advance(1)
        summaries.append(summary_of(arm.name, lr, searched, trials))
    return summaries


def _untuned(course):
    course.model.initialize()
    evaluation = evaluate(course.model, course.held_out)
    figures = {"accuracy": evaluation.accuracy, "loss": evaluation.loss}
    return figures | {"examples": evaluation.examples}


def _config(values, bundle: Bundle, per_round, runs):
    """Returns what the runs have in common, and who takes part."""
    arms, seeds = runs
    return {
        "bundle_checksum": bundle.checksum,
        **_data_files(values),
        "clients": values.clients,
        "per_round": per_round,
        "steps": values.steps,
        "schedule": SCHEDULE,
        "batch_size": values.batch_size,
        "threads": values.threads or cores(),
        "arms": [arm.name for arm in arms],
        "seeds": seeds,
        "machine": describe_machine(PACKAGES),
    }
