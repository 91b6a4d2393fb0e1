"""Fine-tunes a bundle; every step is a line in RUN/metrics.jsonl.

The same command on the same --run goes on where it stopped, and --steps may be raised. On a phone
the steps' lines also say, every 10 s, how battery, heat and clock rates are.
Ctrl-C and SIGTERM end it after the step under way, a second one at once.
What keeps a run from working is said once, as a warning, and stands in RUN/warnings.json; with
--strict it is a failure.

Without --lr, or with --lr=auto, a learning rate is measured before the first step, in at most 5% of
the run's forward passes (more in a run of a few dozen steps); RUN/measured.json has the figures. A
run that goes on keeps its rate. --eps=auto measures the size of the probe.

--optimizer=fzoo takes a step along --directions of one minibatch, by one loss each (--sides=2: by
two), and divides it by the size of the last projected gradients, as --normalize does for MeZO: then
--lr says how far a step moves a parameter, on any model and task.

--optimizer=adam and sgd, with gradients, need a bundle exported with --optimizers=mezo,adam; of
one that trains all parameters, adam takes no more examples a step than that has rows. Going on,
such a run takes the steps since its newest snapshot again, on the machine and engine that took
them; it keeps the parameters of the best dev step and of the last (RUN/parameters-STEP.npz).

examples:
  pocketllm train --bundle=micro --train=train.tsv --dev=dev.tsv --run=run \\
      --steps=400 --batch_size=64 --lr=3e-4 --eval_every=100
  pocketllm train --bundle=micro --train=train.tsv --run=measured --steps=400
  pocketllm train --bundle=rte-bundle --train=train.jsonl --split=reference --run=rte --steps=5000
  pocketllm train --bundle=micro --train=train.tsv --dev=dev.tsv --run=fzoo --steps=100 \\
      --batch_size=64 --optimizer=fzoo --lr=1e-3
  pocketllm train --bundle=both --train=train.tsv --dev=dev.tsv --run=adam --steps=100 \\
      --optimizer=adam --lr=1e-5
"""

from dataclasses import asdict
from pathlib import Path

from absl import flags

from .. import contract
from ..data.dataset import load_dataset
from ..errors import InputError
from ..generate.samples import Samples
from ..generate.writer import USUAL_NEW_TOKENS
from ..health.settings import typical_size
from ..host.pauses import Limits, pauses_of
from ..host.progress import Progress
from ..journal.lines import best_evaluation, read_evaluations
from ..optim.interface import check_bundle, takes_pairs
from ..optim.table import OPTIMIZERS
from ..run.folder import RunConfig, describe_torn_end, steps_so_far
from ..run.listening import Listener, Trained
from ..run.loop import train
from ..run.snapshots import RECOVERY_SECONDS
from ..run.watch import lasting_warnings, recorded_warnings, refuse, warnings_before_start
from .flags import AUTO, definer
from .measured import check_measurable, measure, recorded, settings_of
from .settings_flags import check_settings, define_settings_flags
from .shared import define_session_flags, load_parts, open_bundle, open_session, required

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define_session_flags(FLAGS)
define.string("train", None, "training data: .tsv, .txt or .csv with a header, .jsonl or .json")
define.string("dev", None, "data to choose the best step by")
define.string(
    "split",
    None,
    "draw training and dev examples from --train: TRAIN/DEV, e.g. 800/200, or reference",
)
define.string("samples", None, "prompts to answer at each evaluation: RUN/samples.jsonl")
define.integer("samples_tokens", USUAL_NEW_TOKENS, "longest text of --samples, in tokens", 1)
define.string("run", None, "run directory")
define_settings_flags(FLAGS, OPTIMIZERS)
define.number_or_auto(
    "lr", AUTO, "learning rate, or auto: it is measured before the first step, and RUN keeps it"
)
define.integer("eval_every", 0, "steps between evaluations (--dev, --samples); 0: start and end")
define.float(
    "recovery_seconds",
    RECOVERY_SECONDS,
    "longest time that going on after a kill may take, in seconds (5% of the run so far where that "
    "is longer)",
    0.0,
)
define.float("max_temp", None, "wait while the battery is hotter, in degrees Celsius")
define.integer("min_battery", 0, "wait while the battery holds less, in percent", 0, 100)
define.bool("only_charging", False, "wait while no charger is there")
define.bool("strict", False, "fail where the run cannot work, instead of a warning")
define.bool(
    "pairs",
    None,
    "evaluate both probes of a step in one forward pass (mezo, and fzoo with --sides=2); none: "
    "where the bundle has signatures for it",
)


def run(values) -> dict:
    """Trains; see the module's docstring."""
    required(values, "bundle", "train", "run", "steps")
    if values.eval_every < 0:
        raise InputError(f"--eval_every={values.eval_every}: expected 0 or more")
    check_settings(values, OPTIMIZERS)
    bundle, folder = open_bundle(values), Path(values.run)
    data, dev, split = _data(values, bundle)
    config, unsettled = _config(values, bundle, data, split)
    check_measurable(data, unsettled)
    check_bundle(config.optimizer, bundle, config.batch_size, config.settings)
    pairs = takes_pairs(config.optimizer, bundle, config.settings, values.pairs)
    for dataset in filter(None, (data, dev)):
        print(dataset.describe(), flush=True)
    if config.batch_size < values.batch_size:
        print(f"--batch_size={values.batch_size}: every step sees all {config.batch_size} examples")
    steps_so_far(folder, config)  # refuses a foreign folder before gigabytes are read
    if torn := describe_torn_end(folder):
        print(torn, flush=True)
    if values.strict and not unsettled:
        _refuse(values, bundle, data, dev, config)
    samples = None
    if values.samples:
        samples = Samples(bundle, values.samples, most=values.samples_tokens)
    forwards = {contract.FORWARD_PAIR} if pairs else {contract.FORWARD_LOSS}
    forwards |= {contract.FORWARD_LOSS} if unsettled else set()
    calls = _calls(config, bundle, data, dev, samples=samples, forwards=forwards)
    model = open_session(values, bundle, calls)
    if unsettled:
        config, _ = measure(model, data, folder, config, unsettled)
        if values.strict:
            _refuse(values, bundle, data, dev, config)
    trained = _train(values, model, data, dev, config, samples=samples, pairs=pairs)
    print(
        f"{folder}: {trained.last_step} steps, best step {trained.best_step}, "
        f"{trained.step_seconds:.3f} s a step, peak memory {trained.peak.anon_bytes / 1e9:.3f} GB "
        f"anonymous, {trained.peak.rss_bytes / 1e9:.3f} GB all pages"
    )
    if trained.stopped:
        print(
            f"{folder}: stopped after step {trained.last_step} of {values.steps}; the same command "
            "goes on from there"
        )
    session = {"engine": model.engine.describe(), "pairs": pairs}
    return _result(trained, folder, config, data, dev) | session


def _calls(config, bundle, data, dev, *, samples, forwards):
    """Returns names or stems of the signatures that a run calls, None for any.

    `forwards` are those that evaluate training data, beside what the optimizer names.
    """
    if config.optimizer.calls is None:
        return None
    stems = config.optimizer.calls(config.settings) | forwards
    calls = contract.in_buckets(stems, data.buckets(bundle.lengths))
    if dev:
        calls |= contract.in_buckets([contract.FORWARD_LOSS], dev.buckets(bundle.lengths))
    return calls | (contract.TEXTS if samples else frozenset())


def _result(trained, folder, config, data, dev):
    """Returns the command's result but for the engine."""
    best = best_evaluation(read_evaluations(folder, dev.sha256)) if dev else None
    return {
        "run": str(folder),
        "last_step": trained.last_step,
        "stopped": trained.stopped,
        "best_step": trained.best_step,
        "best_dev": asdict(best) if best else None,
        "lr": config.settings.lr,
        "measured": recorded(folder, config.settings),
        "warnings": [warning.text for warning in trained.warnings],
        "step_seconds": trained.step_seconds,
        "peak_anon_bytes": trained.peak.anon_bytes,
        "peak_rss_bytes": trained.peak.rss_bytes,
        "examples": len(data.examples),
        "dev_examples": len(dev.examples) if dev else 0,
        **data.summary(),
        **{
            f"dev_{key}": value
            for key, value in (dev.summary() if dev else {"truncated": 0}).items()
        },
    }


def _train(values, model, data, dev, config, *, samples, pairs) -> Trained:
    """Trains behind a progress bar."""
    pauses = pauses_of(Limits(values.max_temp, values.min_battery, values.only_charging))
    with Progress("training", values.steps, "step") as bar:
        listener = Listener(
            replayed=bar.advance,
            stepped=lambda step, seconds: bar.advance(1, step.describe()),
            evaluated=lambda step, evaluation: bar.say(f"step {step}: dev {evaluation.describe()}"),
            sampled=lambda step, samples: bar.say(f"step {step}: {samples[0].describe()}"),
            say=bar.say,
            awaited=pauses,
        )
        return train(
            model,
            data,
            Path(values.run),
            config,
            dev,
            samples=samples,
            eval_every=values.eval_every,
            listener=listener,
            recovery_seconds=values.recovery_seconds,
            strict=values.strict,
            pairs=pairs,
        )


def _refuse(values, bundle, data, dev, config):
    """Raises RunError for a warning that needs no step, before gigabytes are read."""
    folder = Path(values.run)
    known = warnings_before_start(
        bundle,
        config,
        folder,
        data=data,
        dev=dev,
        eval_every=values.eval_every,
        typical=typical_size(bundle),
    )
    refuse([*lasting_warnings(recorded_warnings(folder), dev), *known])


def _config(values, bundle, data, split):
    """Returns what the run's steps depend on, and the names of settings that are to be measured."""
    optimizer = OPTIMIZERS[values.optimizer]
    unsettled = settings_of(values, optimizer, bundle)
    config = RunConfig.of(
        bundle,
        data,
        optimizer.settings(**unsettled.values),
        batch_size=min(values.batch_size, len(data.examples)),
        seed=values.seed,
        split=split,
    )
    return config, unsettled.names


def _data(values, bundle):
    """Returns (training data, dev data or None, the split as config.json holds it or None)."""
    if values.split is None:
        data = load_dataset(values.train, bundle, training=True)
        return data, load_dataset(values.dev, bundle) if values.dev else None, None
    if values.dev:
        raise InputError("--split and --dev both name the dev set; give one of them")
    return load_parts(values.train, bundle, values.split)
