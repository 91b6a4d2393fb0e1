"""Runs the trials of a race, each once: its training, its evaluation, its result as a file.

A trial NAME has the run directory DIR/runs/NAME and the file DIR/results/NAME.json, which is
written last: a trial that has one is finished.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.files import make_folders, read_json
from pocketllm.tflite_models.presets import MICRO

from ...isolation.worker import run_module, thread_variables
from ...report.data import read_runs
from .again import once
from .arms import BATCH_SIZE, Trial
from .torch_request import TorchRequest

DATA, HELD_OUT = MICRO / "sst2_train.tsv", MICRO / "sst2_heldout.tsv"
SPLIT = "1500/500"  # of DATA: rows to train on, to choose learning rate and step by
LENGTHS = (24, 32, 48, 64)  # an Adam step takes the bucket of its longest row
BUNDLE, WEIGHTS, RUNS, RESULTS, UNTUNED = "bundle", "weights", "runs", "results", "untuned"
WORKER = f"{__package__}.torch_trial"
NOT_FINITE = "loss is not finite"


@dataclass(frozen=True)
class Course:
    """What all trials of a race share.

    Attributes:
      out: DIR.
      threads: kernel threads.
      say: takes each line that the commands print.
    """

    out: Path
    threads: int
    say: Callable[[str], None]

    @property
    def bundle(self) -> Path:
        """Folder of the bundle that all arms start from."""
        return self.out / BUNDLE

    @property
    def weights(self) -> Path:
        """Folder of the bundle whose weights, all in float32, PyTorch starts from."""
        return self.out / WEIGHTS


def export_start(course: Course, settings: list[str]) -> None:
    """Exports the bundle, unless it is there; `settings` are flags of the model and its tuning."""
    _export(course, [*settings, "--optimizers=mezo,adam"], course.bundle)


def export_weights(course: Course, model: str) -> None:
    """Exports the model's weights for PyTorch, unless they are there."""
    _export(course, [f"--model={model}", "--tune=full"], course.weights)


def _export(course, settings, out):
    if out.exists():
        return
    lengths = f"--lengths={','.join(map(str, LENGTHS))}"
    sizes = ["--task=sst2", f"--batch_size={BATCH_SIZE}", lengths]
    _pocketllm(course, "export", ["export", *settings, *sizes, f"--out={out}"])


def evaluate_start(course: Course) -> dict:
    """Returns the evaluation of the bundle as it is on the held-out rows."""
    path = course.out / RESULTS / f"{UNTUNED}.json"
    return once(path, lambda: _evaluated(course, None))


def run_trial(course: Course, trial: Trial) -> dict:
    """Runs a trial unless it is finished; returns its result.

    Returns:
      {"lr", "seed", "steps", "curve": [{"step", "seconds", "accuracy", "loss"}] on the dev set,
      "step_seconds", "peak_anon_bytes", "held_out": evaluation at the best dev step or None}; the
      curve is None where the loss did not stay finite.
    """
    train = _trained_in_pytorch if trial.arm.in_pytorch else _trained
    return once(_result_of(course, trial), lambda: train(course, trial))


def is_finished(course: Course, trial: Trial) -> bool:
    """Returns whether a trial has its result."""
    return _result_of(course, trial).exists()


def _result_of(course, trial):
    return course.out / RESULTS / f"{trial.name}.json"


def _trained(course, trial):
    run = course.out / RUNS / trial.name
    summary = run.with_suffix(".json")
    make_folders(run.parent)
    result = {"arm": trial.arm.name, "lr": trial.lr, "seed": trial.seed, "steps": trial.steps}
    arguments = [
        "train",
        f"--bundle={course.bundle}",
        f"--train={DATA}",
        f"--split={SPLIT}",
        f"--run={run}",
        f"--optimizer={trial.arm.optimizer}",
        f"--steps={trial.steps}",
        f"--batch_size={BATCH_SIZE}",
        f"--lr={trial.lr!r}",
        f"--lr_schedule={trial.arm.schedule}",
        *trial.arm.flags,
        f"--seed={trial.seed}",
        f"--eval_every={trial.eval_every}",
        f"--threads={course.threads}",
        f"--json={summary}",
    ]
    try:
        _pocketllm(course, trial.name, arguments)
    except RunError as error:
        if NOT_FINITE not in str(error):
            raise
        return result | {"curve": None, "held_out": None}
    figures = read_json(summary, f"remove {run} to run it again")
    summary.unlink()
    return result | {
        "curve": _curve(run),
        "step_seconds": figures["step_seconds"],
        "peak_anon_bytes": figures["peak_anon_bytes"],
        "held_out": _evaluated(course, run) if trial.compared else None,
    }


def _trained_in_pytorch(course, trial):
    """Returns the same of a trial in PyTorch, which does not go on where it was stopped."""
    request = TorchRequest(
        bundle=str(course.bundle),
        weights=str(course.weights),
        data=str(DATA),
        split=SPLIT,
        held_out=str(HELD_OUT) if trial.compared else None,
        optimizer=trial.arm.optimizer,
        lr=trial.lr,
        schedule=trial.arm.schedule,
        seed=trial.seed,
        steps=trial.steps,
        batch_size=BATCH_SIZE,
        eval_every=trial.eval_every,
        threads=course.threads,
    )
    path = course.out / "pytorch.json"
    arguments = [json.dumps(asdict(request)), str(path)]
    variables = thread_variables(course.threads)
    run_module(trial.name, WORKER, arguments, variables, course.say)
    figures = read_json(path, "run the same command again")
    path.unlink()
    fixed = {"arm": trial.arm.name, "lr": trial.lr, "seed": trial.seed, "steps": trial.steps}
    return fixed | figures


def _curve(run):
    """Returns what the dev set said over the steps; seconds are those of the steps alone."""
    (record,) = read_runs([run])
    seconds = [0.0, *accumulate(cost.seconds for cost in record.costs)]
    return [
        {
            "step": entry.step,
            "seconds": seconds[entry.step],
            "accuracy": entry.accuracy,
            "loss": entry.loss,
        }
        for entry in record.evaluations
    ]


def _evaluated(course, run):
    """Returns {"step", "accuracy", "loss", "examples"} on the held-out rows."""
    path = course.out / "eval.json"
    tuned = [] if run is None else [f"--run={run}"]
    arguments = ["eval", f"--bundle={course.bundle}", f"--data={HELD_OUT}", *tuned]
    arguments += [f"--threads={course.threads}", f"--json={path}"]
    _pocketllm(course, "evaluation", arguments)
    evaluation = read_json(path, "run the same command again")
    path.unlink()
    return {name: evaluation[name] for name in ("step", "accuracy", "loss", "examples")}


def _pocketllm(course, name, arguments):
    run_module(
        name, "pocketllm.runtime.cli", arguments, thread_variables(course.threads), course.say
    )
