"""Evaluates a bundle, or the parameters that a run reached from it.

With --run at the best dev step, the last one where no dev set was given, or --at_step. A MeZO
run's steps are done again up to there (noise passes only, no data); an Adam run has kept the
parameters of the best dev step, the last and its newest snapshots, and no others. Of learnt text
(--task=sft, chat, lm of the export) it gives loss and perplexity per learnt token, of other tasks
accuracy and loss.

examples:
  pocketllm eval --bundle=micro --data=heldout.tsv
  pocketllm eval --bundle=micro --data=heldout.tsv --run=run
  pocketllm eval --bundle=rte-bundle --data=val.jsonl --run=rte --sample=1000
"""

import math

from absl import flags

from .. import contract
from ..data.dataset import load_dataset
from ..errors import InputError, RunError
from ..host.progress import Progress
from ..run.evaluate import evaluate, rows_of
from .flags import definer
from .run_point import bring_with_progress, read_point
from .shared import define_session_flags, open_bundle, open_session, required

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_session_flags(FLAGS)
define.string("data", None, "data as trained on: .tsv, .txt or .csv with a header, .jsonl or .json")
define.string("run", None, "run directory of `pocketllm train`")
define.integer("sample", 0, "number of examples to evaluate, drawn as the reference draws; 0: all")
define.integer("at_step", None, "step of the run to evaluate")


def run(values) -> dict:
    """Evaluates; see the module's docstring."""
    required(values, "bundle", "data")
    if values.sample < 0:
        raise InputError(f"--sample={values.sample}: expected 0 or more")
    bundle = open_bundle(values)
    point = read_point(values, bundle)
    data = load_dataset(values.data, bundle, sample=values.sample)
    print(data.describe(), flush=True)
    forward = contract.in_buckets([contract.FORWARD_LOSS], data.buckets(bundle.lengths))
    model = open_session(values, bundle, point.calls | forward)
    redone = bring_with_progress(model, point)
    with Progress("evaluating", len(rows_of(data, bundle)), "row") as bar:
        evaluation = evaluate(model, data, bar.advance)
    where = f"{values.run} at step {point.step}" if values.run else "untuned"
    if not math.isfinite(evaluation.loss):
        raise RunError(
            f"{values.data}: the loss is not finite ({where}); choose an earlier --at_step"
        )
    print(f"{where}: {evaluation.describe()}, {evaluation.examples} examples")
    for name in set(getattr(bundle.task, "metrics", ())) - set(evaluation.metrics):
        print(f"{name} needs every answer of a question: evaluate without --sample")
    return {
        "bundle": str(bundle.folder),
        "data": str(data.path),
        "run": values.run,
        "step": point.step,
        **data.summary(),
        **evaluation.summary(),
        "engine": model.engine.describe(),
        "warnings": list(redone.warnings),
    }
