"""Warnings that a run's settings give before it starts."""

from collections.abc import Iterator

import numpy as np

from .. import contract
from ..bundle.contents import Bundle
from ..optim.interface import Settings
from .record import RunWarning
from .steps import NO_GRADIENT, STANDSTILL, unit

DECAY = "decay"  # the kind of a warning
SAMPLE = 256  # values of each variable
# On integers the projected gradients at a hundredth of the default probe correlate 0.1 to 0.4 with
# those at the default, at a tenth 0.8 (roberta-micro, LoRA on int8, 25 directions).
COARSE = 50.0


def typical_size(bundle: Bundle) -> float:
    """Returns the median |θ| of a sample of the initial values that are not 0; 0 if all are."""
    sizes = []
    with open(bundle.model_path, "rb") as file:
        for variable in bundle.variables:
            file.seek(variable.offset)
            count = min(SAMPLE, int(np.prod(variable.shape)))
            sizes.append(np.abs(np.frombuffer(file.read(4 * count), np.float32)))
    values = np.concatenate(sizes) if sizes else np.zeros(0, np.float32)
    values = values[values > 0]
    return float(np.median(values)) if values.size else 0.0


def turns_signs(settings: Settings) -> bool:
    """Whether a step at the highest learning rate takes all of a parameter off it, or more."""
    return settings.lr * settings.weight_decay >= 1


def flags_to_lower(settings: Settings) -> str:
    """Names the flags of which a smaller value keeps a loss finite."""
    if turns_signs(settings):
        return "--weight_decay"
    return "--lr or --eps" if hasattr(settings, "eps") else "--lr"


def decay_warnings(settings: Settings) -> Iterator[RunWarning]:
    """Yields a weight decay that leaves no parameter its sign."""
    if turns_signs(settings):
        lr, decay = settings.lr, settings.weight_decay
        yield RunWarning(
            DECAY,
            f"--weight_decay={decay:g} times --lr={lr:g} is {lr * decay:g}: each step takes that "
            "share off every parameter that decays, so that none keeps its sign; give a "
            f"--weight_decay far below {1 / lr:g}",
        )


def update_size(settings: Settings) -> float | None:
    """Returns about how far a step moves a parameter; None where the projected gradient says it."""
    return getattr(settings, "update", None) if hasattr(settings, "eps") else settings.lr


def settings_warnings(
    bundle: Bundle, lr: float, eps: float | None, typical: float, update: float | None
) -> Iterator[RunWarning]:
    """Yields a probe or a learning rate that is known to be too small.

    Args:
      bundle: says how its frozen parameters are stored.
      lr: the highest of the run.
      eps: size of the probe; None for an optimizer without one.
      typical: `typical_size` of the bundle.
      update: `update_size` of the run's settings.
    """
    if eps is not None:
        yield from _of_probe(bundle, eps, typical)
    if lr == 0:
        yield RunWarning(STANDSTILL, "--lr=0 moves no parameter; give a larger --lr")
    elif update is not None and update < unit(typical) / 2:
        yield RunWarning(
            STANDSTILL,
            f"--lr={lr:g} moves a parameter by about {update:.1e} a step, and a typical one is "
            f"{typical:.1e}, whose float32 neighbour is {unit(typical):.1e} away: most keep their "
            "bits; give a larger --lr",
        )


def _of_probe(bundle, eps, typical):
    is_staircase = bundle.base != contract.FP32 and bundle.tune != contract.HEAD_WORDS
    if eps < unit(typical):
        yield RunWarning(
            NO_GRADIENT,
            f"--eps={eps:g} is less than the {unit(typical):.1e} from a typical parameter, "
            f"{typical:.1e}, to its float32 neighbour, so the projected gradient is rounding; give "
            f"a larger --eps, the bundle's {bundle.default_eps:g} say",
        )
    elif is_staircase and eps < bundle.default_eps / COARSE:
        yield RunWarning(
            NO_GRADIENT,
            f"--eps={eps:g} is far below what a base in {bundle.base} resolves, so the projected "
            f"gradient is rounding; give a larger --eps, the bundle's {bundle.default_eps:g} say",
        )
