"""Flags of what a run's steps depend on, beside its data; the rate is each command's own."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from absl import flags

from ..errors import InputError
from ..optim.interface import Optimizer, Option
from ..optim.schedule import SCHEDULES
from ..optim.table import DEFAULT
from .flags import AUTO, definer


def define_settings_flags(values: flags.FlagValues, optimizers: Mapping[str, Optimizer]) -> None:
    """Defines --steps, --batch_size, --seed, --optimizer and what optimizers have of settings."""
    define = definer(values)
    define.integer("steps", None, "length of the run")
    define.integer("batch_size", 8, "examples a step")
    define.integer("seed", 0, "random seed of batches and directions")
    define.float("weight_decay", 0.0, "decoupled weight decay")
    define.enum("lr_schedule", "constant", list(SCHEDULES), "learning rate over the steps")
    define.enum("optimizer", DEFAULT, list(optimizers), "training algorithm")
    kinds = {int: define.integer, float: define.float, bool: define.bool}
    for option, kind, names in _options(optimizers.values()):
        define_option = define.number_or_auto if option.measured else kinds[kind]
        define_option(option.name, option.default, f"{option.help}; {', '.join(names)} only")


def check_settings(values: flags.FlagValues, optimizers: Mapping[str, Optimizer]) -> None:
    """Raises InputError for the first flag whose value is out of its range."""
    for name in ("steps", "batch_size"):
        if getattr(values, name) < 1:
            raise InputError(f"--{name}={getattr(values, name)}: expected 1 or more")
    for option, _, names in _options(optimizers.values()):
        value = getattr(values, option.name)
        if values.optimizer not in names and values[option.name].present:
            raise InputError(
                f"--{option.name} is a setting of {', '.join(names)}; leave it out with "
                f"--optimizer={values.optimizer}"
            )
        if value not in (None, AUTO) and not option.lowest <= value <= option.highest:
            raise InputError(f"--{option.name}={value}: expected {_bounds(option)}")
    if not 0 <= values.seed < 2**32:
        raise InputError(f"--seed={values.seed}: expected 0 to {2**32 - 1}")
    for name in ("lr", "weight_decay"):
        value = getattr(values, name)
        if value != AUTO and not 0 <= value < float("inf"):
            raise InputError(f"--{name}={value}: expected 0 or more")


def _bounds(option):
    """Says which numbers are taken, to the last digit."""
    lowest, highest = (f"{x:.15g}".replace("e+", "e") for x in (option.lowest, option.highest))
    if option.highest == math.inf:
        return f"{lowest} or more"
    return f"a number from {lowest} to {highest}"


def _options(optimizers: Iterable[Optimizer]) -> list[tuple[Option, Any, list[str]]]:
    """Returns (option, its type, names of the optimizers that have it), each once."""
    options: dict[str, tuple[Option, Any, list[str]]] = {}
    for optimizer in optimizers:
        for option in optimizer.options:
            kind = {f.name: f.type for f in fields(optimizer.settings)}[option.name]
            options.setdefault(option.name, (option, kind, []))[2].append(optimizer.name)
    return list(options.values())
