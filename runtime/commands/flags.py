"""Definition of a command's flags, in a FlagValues of its own."""

from functools import partial
from types import SimpleNamespace

from absl import flags

KINDS = ("string", "integer", "float", "bool", "enum", "list", "multi_string")


def definer(values: flags.FlagValues) -> SimpleNamespace:
    """Returns absl's DEFINE_* functions for these values.

    `define = definer(FLAGS)`, then `define.integer("steps", None, "length of the run")`.
    """
    functions = {kind: getattr(flags, f"DEFINE_{kind}") for kind in KINDS}
    return SimpleNamespace(
        **{kind: partial(f, flag_values=values) for kind, f in functions.items()}
    )
