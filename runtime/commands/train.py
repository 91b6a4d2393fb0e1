"""Fine-tunes a bundle with MeZO or Adam; every step is a line in RUN/metrics.jsonl.

With MeZO the same command on the same --run goes on where it stopped; --steps may be raised.
On a phone the steps' lines also say, every 10 s, how battery, heat and clock rates are.
Ctrl-C and SIGTERM end it after the step under way, a second one at once.

--optimizer=adam, the baseline with gradients, needs a bundle exported with --optimizers=mezo,adam
and takes no more examples a step than that has rows. Its run cannot be continued; it keeps the
parameters of the best dev step and of the last (RUN/parameters-STEP.npz).

examples:
  pocketllm train --bundle=micro --train=train.tsv --dev=dev.tsv --run=run \\
      --steps=400 --batch_size=64 --lr=3e-4 --eval_every=100
  pocketllm train --bundle=rte-bundle --train=train.jsonl --split=reference --run=rte --steps=5000
  pocketllm train --bundle=both --train=train.tsv --dev=dev.tsv --run=adam --steps=100 \\
      --optimizer=adam --lr=1e-5
"""

from dataclasses import asdict
from functools import partial
from pathlib import Path

from absl import flags

from .. import contract
from ..data.dataset import load_dataset, load_split
from ..errors import InputError
from ..host.pauses import Limits, pauses_of
from ..host.progress import Progress
from ..optim.adam import AdamSettings, AdamStep
from ..optim.mezo import MezoSettings
from ..optim.schedule import SCHEDULES
from ..run.folder import RunConfig, describe_torn_end, steps_so_far
from ..run.journalled import train
from ..run.kept import check_adam, train_adam
from ..run.lines import best_evaluation, read_evaluations
from ..run.listening import Listener
from ..run.snapshots import RECOVERY_SECONDS
from ..tasks.draws import split_numbers
from .shared import define_session_flags, open_bundle, open_session, required

FLAGS = flags.FlagValues()
define_session_flags(FLAGS)
flags.DEFINE_string(
    "train", None, "training data: .tsv or .txt with a header, or .jsonl", flag_values=FLAGS
)
flags.DEFINE_string("dev", None, "data to choose the best step by", flag_values=FLAGS)
flags.DEFINE_string(
    "split",
    None,
    "draw training and dev examples from --train: TRAIN/DEV, e.g. 800/200, or reference",
    flag_values=FLAGS,
)
flags.DEFINE_string("run", None, "run directory", flag_values=FLAGS)
flags.DEFINE_integer("steps", None, "length of the run", flag_values=FLAGS)
flags.DEFINE_integer("batch_size", 8, "examples a step", flag_values=FLAGS)
flags.DEFINE_float("lr", 1e-6, "learning rate", flag_values=FLAGS)
flags.DEFINE_float(
    "eps",
    None,
    "MeZO: size of the probe, in units of z; none: as the bundle needs, 1e-3 without a tuning",
    flag_values=FLAGS,
)
flags.DEFINE_integer("seed", 0, "chooses batches, and MeZO's directions", flag_values=FLAGS)
flags.DEFINE_float("weight_decay", 0.0, "decoupled weight decay", flag_values=FLAGS)
flags.DEFINE_enum(
    "lr_schedule", "constant", list(SCHEDULES), "of the learning rate", flag_values=FLAGS
)
flags.DEFINE_integer(
    "eval_every", 0, "steps between dev evaluations; 0: start and end", flag_values=FLAGS
)
flags.DEFINE_float(
    "recovery_seconds",
    RECOVERY_SECONDS,
    "MeZO: going on after a kill may take so long, or 5% of the run so far; snapshots see to it",
    0.0,
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "max_temp",
    None,
    "wait while the battery is hotter, in degrees Celsius",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "min_battery", 0, "wait while the battery holds less, in percent", 0, 100, flag_values=FLAGS
)
flags.DEFINE_bool("only_charging", False, "wait while no charger is there", flag_values=FLAGS)
flags.DEFINE_enum(
    "optimizer",
    contract.MEZO,
    list(contract.OPTIMIZERS),
    "training algorithm",
    flag_values=FLAGS,
)


def run(values) -> dict:
    """Trains; see the module's docstring."""
    required(values, "bundle", "train", "run", "steps")
    _check(values)
    bundle = open_bundle(values)
    adam = values.optimizer == contract.ADAM
    data, dev, split = _data(values, bundle)
    settings = _settings(values, bundle)
    batch_size = min(values.batch_size, len(data.examples))
    if adam:
        check_adam(bundle, batch_size)
    noise = None if adam else bundle.noise["kind"]
    config = RunConfig(
        bundle.fingerprint, data.sha256, batch_size, values.seed, settings, split, noise
    )
    for dataset in filter(None, (data, dev)):
        print(dataset.describe(), flush=True)
    if batch_size < values.batch_size:
        print(f"--batch_size={values.batch_size}: every step sees all {batch_size} examples")
    folder = Path(values.run)
    steps_so_far(folder, config)  # refuses a foreign folder before gigabytes are read
    if torn := describe_torn_end(folder):
        print(torn, flush=True)
    awaited = pauses_of(Limits(values.max_temp, values.min_battery, values.only_charging))
    model = open_session(values, bundle)
    with Progress("training", settings.steps, "step") as bar:

        def stepped(step, seconds):
            bar.advance(1, _note(step))

        def evaluated(step, found):
            bar.say(f"step {step}: dev {found.describe()}")

        awaits = partial(awaited, bar.say)
        listener = Listener(bar.advance, stepped, evaluated, bar.say, awaits)
        run_steps = train_adam if adam else partial(train, recovery_seconds=values.recovery_seconds)
        done = run_steps(model, data, folder, config, dev, values.eval_every, listener)
    print(
        f"{folder}: {done.last_step} steps, best step {done.best_step}, "
        f"{done.step_seconds:.3f} s a step, peak memory {done.peak.anon_bytes / 1e9:.3f} GB "
        f"anonymous, {done.peak.rss_bytes / 1e9:.3f} GB all pages"
    )
    if done.stopped:
        print(
            f"{folder}: stopped after step {done.last_step} of {settings.steps}; the same command "
            "goes on from there"
        )
    best = best_evaluation(read_evaluations(folder, dev.sha256)) if dev else None
    return {
        "run": str(folder),
        "last_step": done.last_step,
        "stopped": done.stopped,
        "best_step": done.best_step,
        "best_dev": asdict(best) if best else None,
        "step_seconds": done.step_seconds,
        "peak_anon_bytes": done.peak.anon_bytes,
        "peak_rss_bytes": done.peak.rss_bytes,
        "examples": len(data.examples),
        "dev_examples": len(dev.examples) if dev else 0,
        "truncated": data.truncated,
        "dev_truncated": dev.truncated if dev else 0,
        "engine": model.engine.describe(),
    }


def _settings(values, bundle):
    shared = {
        "lr": values.lr,
        "weight_decay": values.weight_decay,
        "lr_schedule": values.lr_schedule,
        "steps": values.steps,
    }
    if values.optimizer == contract.ADAM:
        return AdamSettings(**shared)
    eps = bundle.default_eps if values.eps is None else values.eps
    return MezoSettings(eps=eps, **shared)


def _note(step):
    if isinstance(step, AdamStep):
        return f"loss {step.loss:.4f}"
    loss = (step.loss_plus + step.loss_minus) / 2
    return f"loss {loss:.4f} projected_grad {step.projected_grad:+.2f}"


def _data(values, bundle):
    """Returns (training data, dev data or None, the split as config.json holds it or None)."""
    if values.split is None:
        data = load_dataset(values.train, bundle, training=True)
        return data, load_dataset(values.dev, bundle) if values.dev else None, None
    if values.dev:
        raise InputError("--split and --dev both name the dev set; give one of them")
    train_count, dev_count = split_numbers(values.split, bundle.task)
    data, dev = load_split(values.train, bundle, train_count, dev_count)
    return data, dev, f"{train_count}/{dev_count}"


def _check(values):
    for name, least in (("steps", 1), ("batch_size", 1), ("eval_every", 0)):
        if getattr(values, name) < least:
            raise InputError(f"--{name}={getattr(values, name)}: expected {least} or more")
    if values.optimizer == contract.ADAM and values["eps"].present:
        raise InputError("--eps is the size of MeZO's probe; leave it out with --optimizer=adam")
    if values.eps is not None and not 1e-30 <= values.eps <= 1e30:  # with room for float32
        raise InputError(f"--eps={values.eps}: expected a number from 1e-30 to 1e30")
    if not 0 <= values.seed < 2**32:
        raise InputError(f"--seed={values.seed}: expected 0 to {2**32 - 1}")
    for name in ("lr", "weight_decay"):
        if not 0 <= getattr(values, name) < float("inf"):
            raise InputError(f"--{name}={getattr(values, name)}: expected 0 or more")
