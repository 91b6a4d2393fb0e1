"""What a run, the commands and the reports need of an optimizer. One value describes each."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

from .. import contract
from ..bundle.manifest import Bundle
from ..data.batches import Batch
from ..errors import InputError
from .schedule import Scheduled

# Kinds of run. Steps of a journalled run can be done again from scalars (applied.py). Those of a
# kept run need the data: it keeps parameters, and snapshots to take its last steps again from.
JOURNALLED, KEPT = "journalled", "kept"


class Settings(Scheduled, Protocol):
    """The settings that every optimizer has: a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def weight_decay(self) -> float: ...


class ProbeSettings(Settings, Protocol):
    """The settings that every optimizer of journalled runs has."""

    @property
    def eps(self) -> float: ...


class Step(Protocol):
    """A step as `metrics.jsonl` shows it: a dataclass of plain values, with these besides."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def step(self) -> int: ...

    @property
    def lr(self) -> float: ...

    @property
    def losses(self) -> tuple[float, ...]:
        """What the step measured, in its order."""
        ...

    @property
    def loss(self) -> float:
        """The step's minibatch loss, for curves and tables."""
        ...

    def describe(self) -> str:
        """Returns the figures to show while the run goes on."""
        ...


Pair = Callable[[int, float], tuple[float, float]]


@dataclass(frozen=True)
class Minibatch:
    """What a step works on.

    Attributes:
      number: of the step, 1 for the first.
      seed: of the step's direction, an int32.
      batches: the step's examples, in the sizes of the bundle.
      loss: evaluates all of them at the present θ.
      pair: (seed, eps) -> their losses at θ + eps·z(seed) and θ − eps·z(seed), without moving θ;
        None where that takes a move to either.
    """

    number: int
    seed: int
    batches: Sequence[Batch]
    loss: Callable[[], float]
    pair: Pair | None = None


@dataclass(frozen=True)
class Option:
    """A setting of some optimizers, and a flag of `pocketllm train`.

    Attributes:
      name: of the field and the flag.
      help: a noun first.
      default: None where the bundle says it.
      lowest, highest: of the numbers that are taken.
      of_bundle: says the value where none is given and `default` is None.
      measured: whether it may be left to what is measured before the run.
    """

    name: str
    help: str
    default: float | None
    lowest: float = -math.inf
    highest: float = math.inf
    of_bundle: Callable[[Bundle], float] | None = None
    measured: bool = False


EPS = Option(
    "eps",
    "size of the probe, in units of z, or auto: as measured; none: the bundle's, 1e-3 without a "
    "tuning",
    default=None,
    lowest=1e-30,  # with room for float32
    highest=1e30,
    of_bundle=lambda bundle: bundle.default_eps,
    measured=True,
)


@dataclass(frozen=True)
class Probing:
    """How a step of a journalled run measures slopes.

    Attributes:
      directions: of a step.
      sides: of θ on which a direction's loss is taken.
      is_normalised: whether the learning rate is divided by the size of the slopes.
    """

    directions: int = 1
    sides: int = 2
    is_normalised: bool = False

    @property
    def forwards(self) -> int:
        """Forward passes of the minibatch that a step takes."""
        return self.directions * self.sides


@dataclass(frozen=True)
class Optimizer:
    """An optimizer.

    Attributes:
      name: in --optimizer and in config.json.
      kind: of its runs, JOURNALLED or KEPT.
      signatures: the entry of a bundle's `optimizers` that it needs.
      settings: dataclass of a run's settings, of a journalled run with `eps`.
      step: dataclass of a line in metrics.jsonl.
      begin: (model, settings, steps before) -> what takes the next step. The model is Perturbable
        for a journalled run, and the steps before are there to derive a state from. A kept run
        gives the whole Model; with steps before, its moments are those behind them, without, they
        are set to 0.
      options: its settings beside those of every optimizer.
      whole_batch: whether one call of the graph is a step, so that no minibatch can be larger, in
        a bundle that does not add gradients up.
      accumulates: whether it needs a bundle that adds gradients up.
      has_moments: whether a step changes the model's moments too, which are 0 before the first.
      probing: of a journalled run, how its steps measure slopes, by its settings.
      calls: settings -> stems of the signatures that its steps call, beside `forward_loss`; with
        moments also those that read and write these. None: any.
      slope: a step's line -> what its first step takes off the loss at a learning rate of 1, of an
        optimizer that goes along the gradient; None of any other.
    """

    name: str
    kind: str
    signatures: str
    settings: type
    step: type
    begin: Callable[[Any, Any, Sequence[Any]], Callable[[Minibatch], Step]]
    options: tuple[Option, ...] = ()
    whole_batch: bool = False
    accumulates: bool = False
    has_moments: bool = False
    probing: Callable[[Mapping[str, Any]], Probing] | None = None
    calls: Callable[[Any], frozenset[str]] | None = None
    slope: Callable[[Any], float] | None = None

    @property
    def option_names(self) -> tuple[str, ...]:
        """The names of its own settings."""
        return tuple(option.name for option in self.options)


def takes_pairs(
    optimizer: Optimizer, bundle: Bundle, settings: Settings, wanted: bool | None
) -> bool:
    """Returns whether both probes of a run's steps are one forward pass.

    Args:
      optimizer: of the run.
      bundle: of the run.
      settings: of the run.
      wanted: None for wherever they can be.

    Raises:
      InputError: they are wanted, and cannot be.
    """
    probing = optimizer.probing(asdict(settings)) if optimizer.probing else None
    two_sides = probing is not None and probing.sides == 2
    if wanted and not two_sides:
        raise InputError("--pairs goes with --optimizer=mezo, and with fzoo and --sides=2")
    if wanted and not bundle.has_pairs:
        raise InputError(
            f"{bundle.folder}: no signature {contract.FORWARD_PAIR}, which --pairs needs; leave "
            "--pairs out, or export with it, and with --tune=lora, prefix or head"
        )
    return two_sides and bundle.has_pairs and wanted is not False


def check_bundle(optimizer: Optimizer, bundle: Bundle, batch_size: int, settings: Settings) -> None:
    """Raises InputError unless a bundle can take an optimizer's step on so many examples."""
    export = f"--optimizers=mezo,{optimizer.signatures}"
    if optimizer.signatures not in bundle.optimizers:
        raise InputError(
            f"{bundle.folder}: the bundle's optimizers are {', '.join(bundle.optimizers)}, "
            f"expected {optimizer.signatures} among them; export it with {export}"
        )
    if optimizer.has_moments and not bundle.moment_readers:
        raise InputError(
            f"{bundle.folder}: no signature {contract.numbered(contract.ADAM_READ, 0)}, which a "
            f"run that goes on needs; export it again with {export}"
        )
    if bundle.adds_gradients:
        return
    wanting = "--clip_norm" if getattr(settings, "clip_norm", 0) else ""
    if optimizer.accumulates or wanting:
        flag = wanting or f"--optimizer={optimizer.name}"
        raise InputError(
            f"{flag}: this bundle has no signature {contract.ADAM_APPLY}, which takes sums of "
            f"gradients; export it again with --tune=lora, prefix or head and {export}"
        )
    if optimizer.whole_batch and batch_size > bundle.batch_size:
        raise InputError(
            f"--batch_size={batch_size}: a step of --optimizer={optimizer.name} is one graph, this "
            f"bundle's has {bundle.batch_size} rows; take no more, or export with {export} "
            f"--batch_size={batch_size}"
        )
