"""Definition of a command's flags, in a FlagValues of its own."""

import math
from functools import partial
from types import SimpleNamespace

from absl import flags

AUTO = "auto"
KINDS = ("string", "integer", "bool", "enum", "list", "multi_string")


def definer(values: flags.FlagValues) -> SimpleNamespace:
    """Returns absl's DEFINE_* functions for these values.

    `define = definer(FLAGS)`, then `define.integer("steps", None, "length of the run")`.
    """
    functions = {kind: getattr(flags, f"DEFINE_{kind}") for kind in KINDS}
    return SimpleNamespace(
        **{kind: partial(f, flag_values=values) for kind, f in functions.items()},
        float=partial(_define_float, values),
        number_or_auto=partial(_define_number_or_auto, values),
    )


class _Number(flags.FloatParser):
    """Parses a number; where it has bounds, NaN is not within them."""

    def is_outside_bounds(self, val):
        """Returns whether a value is not within the bounds."""
        is_bounded = self.lower_bound is not None or self.upper_bound is not None
        return (is_bounded and math.isnan(val)) or super().is_outside_bounds(val)


class _NumberOrAuto(flags.ArgumentParser):
    """Parses a number, or AUTO."""

    def parse(self, argument):
        """Returns a float or AUTO; raises ValueError for anything else."""
        if argument == AUTO:
            return AUTO
        try:
            return float(argument)
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected a number, or {AUTO}") from error

    def flag_type(self):
        """Returns the name of the type."""
        return "number or auto"


def _define_float(values, name, default, what, *bounds):
    parser, serializer = _Number(*bounds), flags.ArgumentSerializer()
    flags.DEFINE(parser, name, default, what, values, serializer=serializer)


def _define_number_or_auto(values, name, default, what):
    flags.DEFINE(
        _NumberOrAuto(), name, default, what, values, serializer=flags.ArgumentSerializer()
    )
