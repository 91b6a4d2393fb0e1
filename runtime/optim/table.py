"""The optimizers: nothing else looks one up by its name."""

from . import adam, fzoo, mezo, sgd
from .interface import Optimizer, Settings

OPTIMIZERS = {
    entry.name: entry for entry in (mezo.OPTIMIZER, fzoo.OPTIMIZER, adam.OPTIMIZER, sgd.OPTIMIZER)
}
DEFAULT = mezo.OPTIMIZER.name
# What a bundle's `optimizers` can name; every bundle has the default's.
SIGNATURES = tuple(dict.fromkeys(entry.signatures for entry in OPTIMIZERS.values()))


def optimizer_of(settings: Settings) -> Optimizer:
    """Returns the optimizer that settings belong to."""
    return next(entry for entry in OPTIMIZERS.values() if entry.settings is type(settings))
