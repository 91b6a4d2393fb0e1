"""Flags that commands on a bundle share, and opening the bundle in an engine."""

from collections.abc import Callable, Collection
from functools import partial

from absl import flags

from .. import contract
from ..bundle.contents import Bundle
from ..bundle.manifest import read_bundle
from ..data.dataset import Dataset, load_split
from ..engine.model import Model, open_model
from ..engine.noise_check import check_noise
from ..errors import InputError
from ..host.progress import Progress
from ..tasks.draws import split_numbers
from .flags import definer

MAX_THREADS = 256


def define_session_flags(values: flags.FlagValues) -> None:
    """Defines --bundle, --threads, --engine and --packed_weights."""
    define = definer(values)
    define.string("bundle", None, "bundle folder, from `pocketllm export`")
    define.integer("threads", 0, "kernel threads; 0 takes all cores")
    define.enum("engine", "litert", list(contract.ENGINES), "interpreter")
    define.bool(
        "packed_weights",
        True,
        "keep a frozen base, packed for the kernels, in a file beside it, not in memory (litert)",
    )


def required(values: flags.FlagValues, *names: str) -> None:
    """Raises InputError for the first of these flags that was not given."""
    for name in names:
        if getattr(values, name) in (None, ""):
            raise InputError(f"--{name} is missing; see --help")


def open_bundle(values: flags.FlagValues) -> Bundle:
    """Reads and verifies --bundle."""
    required(values, "bundle")
    return read_bundle(values.bundle)


def load_parts(path: str, bundle: Bundle, split: str) -> tuple[Dataset, Dataset, str]:
    """Reads the parts of a data file that --split names.

    Returns:
      (training data, dev data, the split as config.json holds it: "TRAIN/DEV").

    Raises:
      InputError: as `load_split`, or the split is none of this task.
    """
    train_count, dev_count = split_numbers(split, bundle.task)
    data, dev = load_split(path, bundle, train_count, dev_count)
    return data, dev, f"{train_count}/{dev_count}"


def open_checked(
    values: flags.FlagValues,
    bundle: Bundle,
    calls: Collection[str] | None,
    say: Callable[[str], None] = lambda line: None,
) -> Model:
    """Opens the bundle in --engine; θ has no values yet.

    Where `calls` has noise passes, their z of one seed is compared with the reference first.

    Args:
      values: of `define_session_flags`.
      bundle: of --bundle.
      calls, say: as `open_model` has them.
    """
    model = open_model(
        bundle,
        engine=values.engine,
        threads=values.threads or None,
        packed_in_file=values.packed_weights,
        calls=calls,
        say=say,
    )
    if calls is not None and contract.PERTURB_AND_UPDATE in calls:
        check_noise(model)
    return model


def open_session(
    values: flags.FlagValues, bundle: Bundle, calls: Collection[str] | None = None
) -> Model:
    """Opens the bundle in --engine, sets the initial values and prints what runs.

    Args:
      values: of `define_session_flags`.
      bundle: of --bundle.
      calls: as `open_checked` has it.
    """
    if not 0 <= values.threads <= MAX_THREADS:
        raise InputError(f"--threads={values.threads}: expected 0 to {MAX_THREADS}")
    model = open_checked(values, bundle, calls, partial(print, flush=True))
    with Progress("initialising", bundle.slices, "slice") as bar:
        model.initialize(bar.advance)
    print(f"engine: {model.engine.describe()}", flush=True)
    return model
