"""Settings that `train` leaves to measurement: chosen before the first step, kept by the run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..bundle.contents import Bundle
from ..data.dataset import Dataset
from ..engine.model import Model
from ..errors import InputError
from ..host.files import read_json
from ..host.lock import run_lock
from ..host.progress import Progress
from ..optim.interface import Optimizer, Settings
from ..rates.choose import choose, plan_for
from ..rates.course import Course
from ..rates.plan import check_enough
from ..rates.record import Choice, chosen_before, read_choice, record
from ..run.folder import CONFIG, DAMAGED, RunConfig
from ..run.optional import problem_of
from .flags import AUTO


@dataclass(frozen=True)
class Unsettled:
    """Settings of a run before its first step.

    Attributes:
      values: name -> value, any number for those that are to be measured.
      names: of those that are to be measured.
    """

    values: dict
    names: tuple[str, ...]


def settings_of(values, optimizer: Optimizer, bundle: Bundle) -> Unsettled:
    """Returns the settings that the flags give; where they say auto, what a begun run has chosen.

    Raises:
      InputError: the run's config.json is damaged.
    """
    settings = {name: getattr(values, name) for name in optimizer.settings.__dataclass_fields__}
    for option in optimizer.options:
        if settings[option.name] is None and option.of_bundle:
            settings[option.name] = option.of_bundle(bundle)
    auto = tuple(name for name, value in settings.items() if value == AUTO)
    path = Path(values.run) / CONFIG
    begun = read_json(path, DAMAGED) if auto and path.exists() else None
    settings |= {name: chosen_before(begun or {}, name) for name in auto}
    return Unsettled(settings, auto if begun is None else ())


def check_measurable(data: Dataset, names: Sequence[str]) -> None:
    """Raises InputError for a data set that is too small for what is to be measured."""
    for name in names:
        check_enough(data, f"--{name}")


def measure(
    model: Model, data: Dataset, folder: Path, config: RunConfig, names: Sequence[str]
) -> tuple[RunConfig, Choice]:
    """Chooses settings of a run by what is measured, records and prints them.

    Args:
      model: at the bundle's initial values, as it is in the end.
      data: of the run.
      folder: the run directory.
      config: of the run.
      names: of the settings.
    """
    settings, optimizer = config.settings, config.optimizer
    fixed = {n: None if n in names else getattr(settings, n, None) for n in ("lr", "eps")}
    course = Course(config.batch_size, settings.steps, config.seed, **fixed)
    plan = plan_for(optimizer, settings, course, data, model.bundle.batch_size)
    with run_lock(folder), Progress("measuring", plan.calls, "pass") as bar:
        choice = choose(optimizer, settings, course, model=model, data=data, progress=bar.advance)
        model.initialize()  # what was moved came back within rounding alone
        record(folder, choice)
        bar.say(choice.line)
        for sentence in choice.advice:
            bar.say(f"warning: {sentence}")
    chosen = {name: choice.chosen[name] for name in names}
    return replace(config, settings=replace(settings, **chosen)), choice


def recorded(folder: Path, settings: Settings) -> dict | None:
    """Returns what a run measured and chose, None where it did not, or its file is damaged.

    That is said: the run can do without.
    """
    try:
        choice = read_choice(folder, settings.lr)
    except InputError as error:
        print(f"{problem_of(error)}; passed over, only reports need it", flush=True)
        return None
    return choice.summary() if choice else None
