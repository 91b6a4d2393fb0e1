"""The optimizers: nothing else looks one up by its name."""

from . import adam, mezo
from .interface import Optimizer, Settings

OPTIMIZERS = {entry.name: entry for entry in (mezo.OPTIMIZER, adam.OPTIMIZER)}
DEFAULT = mezo.OPTIMIZER.name


def optimizer_of(settings: Settings) -> Optimizer:
    """Returns the optimizer that settings belong to."""
    return next(entry for entry in OPTIMIZERS.values() if entry.settings is type(settings))
