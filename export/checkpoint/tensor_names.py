"""Names of a checkpoint's tensors: from those that a file holds to those of transformers today.

transformers itself reads files under some other names: of a model without its head, and old ones.
What training scripts put in front (`module.`, `_orig_mod.`, a field of a larger module) is taken
off here too, where it is the same for the whole model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pocketllm.runtime.errors import InputError

# Modules that wrap others: DataParallel, torch.compile, FSDP, activation checkpoints.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
SHOWN = 12  # names in one line of output


@dataclass(frozen=True)
class TensorNames:
    """The one table of an architecture's aliases.

    Attributes:
      base: begins the names of all tensors but the LM head's.
      landmark: behind `base`, a tensor that every checkpoint has.
      head: the LM head's modules in transformers' model, which follow one another; the names of
        its tensors lie under them.
      old_endings: {end of a name in an old checkpoint: its end today}.
      second: {parameter: its second name}. transformers saves an untied head's under both, and
        where a checkpoint has both the second is read.
      derived: ends of names of tensors that config.json determines.
    """

    base: str
    landmark: str
    head: tuple[str, ...]
    old_endings: Mapping[str, str]
    second: Mapping[str, str] = field(default_factory=dict)
    derived: tuple[str, ...] = ()

    def in_head(self, name: str) -> bool:
        """Whether a tensor of this name is the LM head's."""
        return name.startswith(tuple(f"{module}." for module in self.head))


@dataclass(frozen=True)
class NamedTensors:
    """The tensors of a checkpoint under today's names.

    Attributes:
      places: {today's name: the name in the file}; not every tensor of the file has one.
      removed: what stood before the names and is no part of them, in quotes.
    """

    places: dict[str, str]
    removed: tuple[str, ...]


def shown(names: Sequence[str]) -> str:
    """Returns the first of some names for a line of output, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def todays_names(names: Iterable[str], table: TensorNames, source: str) -> NamedTensors:
    """Maps the names of a checkpoint's tensors to today's.

    Raises:
      InputError: two models lie in one file, and neither under the usual names.
    """
    bare = {name: _without_wrappers(name) for name in names}
    removed = {f"{w}." for n, b in bare.items() if n != b for w in WRAPPERS if w in n.split(".")}
    base = _prefix(bare.values(), table, source)
    above = _head_prefix(bare.values(), table, source)
    places: dict[str, str] = {}
    for name, short in bare.items():
        if above is not None and table.in_head(short.removeprefix(above)):
            today = short.removeprefix(above)
        elif base is not None and short.startswith(base):
            today = table.base + short.removeprefix(base)
        else:
            continue
        for old, new in table.old_endings.items():
            today = today.removesuffix(old) + new if today.endswith(old) else today
        # The same name in the file itself goes before one that was changed.
        if today not in places or today == name:
            places[today] = name
    for prefix, usual in ((base, table.base), (above, "")):
        if prefix and prefix != usual:
            removed.add(prefix.removesuffix(usual) or prefix)
    return NamedTensors(places, tuple(repr(prefix) for prefix in sorted(removed)))


def _without_wrappers(name):
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _prefix(names, table, source):
    """Returns what stands before the base's names; None where none of them is there."""
    prefixes = {
        name.removesuffix(table.landmark)
        for name in names
        if name == table.landmark or name.endswith(f".{table.landmark}")
    }
    if not prefixes and any(name.startswith(table.base) for name in names):
        return table.base
    return _only(prefixes, table.base, source)


def _head_prefix(names, table, source):
    """Returns what stands before the LM head's names; None where there are none."""
    prefixes = {
        name[: name.index(f".{module}.") + 1] if f".{module}." in name else ""
        for module in table.head
        for name in names
        if name.startswith(f"{module}.") or f".{module}." in name
    }
    return _only(prefixes, "", source)


def _only(prefixes, usual, source):
    if usual in prefixes or not prefixes:
        return usual if prefixes else None
    if len(prefixes) > 1:
        listed = " and ".join(repr(prefix) for prefix in sorted(prefixes))
        raise InputError(
            f"{source}: holds several models, under the prefixes {listed}; save the one to "
            "export with save_pretrained"
        )
    return next(iter(prefixes))
