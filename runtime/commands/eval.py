"""Evaluates a bundle, or the parameters that a run reached from it.

With --run at the best dev step, the last one where no dev set was given, or --at_step. A MeZO
run's steps are done again up to there (noise passes only, no data); an Adam run has kept the
parameters of the best dev step and the last, and no others.

examples:
  pocketllm eval --bundle=micro --data=heldout.tsv
  pocketllm eval --bundle=micro --data=heldout.tsv --run=run
  pocketllm eval --bundle=rte-bundle --data=val.jsonl --run=rte --sample=1000
"""

import math
import time
from pathlib import Path

from absl import flags

from ..data.dataset import load_dataset
from ..errors import InputError, RunError
from ..host.progress import Progress
from ..optim.adam import AdamSettings
from ..run.evaluate import evaluate, rows_of
from ..run.folder import describe_torn_end, read_run
from ..run.lines import best_step
from ..run.parameters import check_kept, load_parameters
from ..run.replay import replay
from ..run.snapshots import restore
from .shared import define_session_flags, open_bundle, open_session, required

FLAGS = flags.FlagValues()
define_session_flags(FLAGS)
flags.DEFINE_string(
    "data", None, "labelled data: .tsv or .txt with a header, or .jsonl", flag_values=FLAGS
)
flags.DEFINE_string("run", None, "run directory of `pocketllm train`", flag_values=FLAGS)
flags.DEFINE_integer(
    "sample",
    0,
    "evaluate so many examples, drawn as the reference draws; 0: all",
    flag_values=FLAGS,
)
flags.DEFINE_integer("at_step", None, "step of the run to evaluate", flag_values=FLAGS)


def run(values) -> dict:
    """Evaluates; see the module's docstring."""
    required(values, "bundle", "data")
    if values.sample < 0:
        raise InputError(f"--sample={values.sample}: expected 0 or more")
    bundle = open_bundle(values)
    settings, steps = steps_of(values, bundle)
    data = load_dataset(values.data, bundle, sample=values.sample)
    print(data.describe(), flush=True)
    model = open_session(values, bundle)
    bring_to(model, values.run, settings, steps)
    with Progress("evaluating", len(rows_of(data, bundle)), "row") as bar:
        found = evaluate(model, data, bar.advance)
    where = f"{values.run} at step {len(steps)}" if values.run else "untuned"
    if not math.isfinite(found.loss):
        raise RunError(
            f"{values.data}: the loss is not finite ({where}); choose an earlier --at_step"
        )
    print(f"{where}: {found.describe()}, {found.examples} examples")
    for name in set(getattr(bundle.task, "metrics", ())) - set(found.metrics):
        print(f"{name} needs every answer of a question: evaluate without --sample")
    return {
        "bundle": str(bundle.folder),
        "data": str(data.path),
        "run": values.run,
        "step": len(steps),
        "accuracy": found.accuracy,
        "loss": found.loss,
        "metrics": found.metrics,
        "examples": found.examples,
        "truncated": data.truncated,
        "engine": model.engine.describe(),
    }


def steps_of(values, bundle):
    """Returns (hyperparameters, the steps of --run up to --at_step); none without --run."""
    if values.run is None:
        if values.at_step is not None:
            raise InputError("--at_step goes with --run")
        return None, []
    required(values, "run")
    settings, steps = read_run(Path(values.run), bundle.fingerprint)
    if torn := describe_torn_end(Path(values.run)):
        print(torn, flush=True)
    last = best_step(Path(values.run), len(steps)) if values.at_step is None else values.at_step
    if not 0 <= last <= len(steps):
        raise InputError(f"--at_step={last}: the run holds steps 0 to {len(steps)}")
    if isinstance(settings, AdamSettings):
        check_kept(Path(values.run), last)
    return settings, steps[:last]


def bring_to(model, run, settings, steps):
    """Brings the model's parameters from the bundle's values to those after these steps.

    Returns:
      How many steps were done again, behind the newest snapshot, and the seconds that took.
    """
    if isinstance(settings, AdamSettings):
        if steps:
            load_parameters(model, Path(run), len(steps))
        return 0, 0.0
    with Progress("replaying", len(steps), "step") as bar:
        restored = restore(model, Path(run), len(steps), bar.say) if steps else 0
        bar.advance(restored)
        started = time.monotonic()
        replay(model, steps[restored:], settings, bar.advance)
        return len(steps) - restored, time.monotonic() - started
