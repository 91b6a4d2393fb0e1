"""What the train and eval commands share: flags, and opening a bundle in an engine."""

from functools import partial

from absl import flags

from ..bundle.contents import Bundle
from ..bundle.manifest import read_bundle
from ..engine.interpreter import ENGINES
from ..engine.model import Model, open_model
from ..errors import InputError
from ..host.progress import Progress

MAX_THREADS = 256


def define_session_flags(values: flags.FlagValues) -> None:
    """Defines --bundle, --threads and --engine."""
    flags.DEFINE_string(
        "bundle", None, "bundle folder, from `pocketllm export`", flag_values=values
    )
    flags.DEFINE_integer("threads", 0, "kernel threads; 0 takes all cores", flag_values=values)
    flags.DEFINE_enum("engine", "litert", list(ENGINES), "interpreter", flag_values=values)
    flags.DEFINE_bool(
        "packed_weights",
        True,
        "keep a frozen base, packed for the kernels, in a file beside it, not in memory (litert)",
        flag_values=values,
    )


def required(values: flags.FlagValues, *names: str) -> None:
    """Raises InputError for the first of these flags that is not given."""
    for name in names:
        if not getattr(values, name):
            raise InputError(f"--{name} is missing; see --help")


def open_bundle(values: flags.FlagValues) -> Bundle:
    """Reads and verifies --bundle."""
    required(values, "bundle")
    return read_bundle(values.bundle)


def open_session(values: flags.FlagValues, bundle: Bundle) -> Model:
    """Opens the bundle in --engine, brings the initial values in and says what runs."""
    if not 0 <= values.threads <= MAX_THREADS:
        raise InputError(f"--threads={values.threads}: expected 0 to {MAX_THREADS}")
    model = open_model(
        bundle,
        engine=values.engine,
        threads=values.threads or None,
        packed_in_file=values.packed_weights,
        say=partial(print, flush=True),
    )
    with Progress("initialising", bundle.slices, "slice") as bar:
        model.initialize(bar.advance)
    print(f"engine: {model.engine.describe()}", flush=True)
    return model
