"""Parameters in a run directory: `parameters-STEP.npz`, the bundle's variables by name.

A kept run saves its best dev step's and its last. Others are part of a snapshot (snapshots.py);
`moments-STEP.npz` are the optimizer's. All hold the checksum of their step's record.

The format is numpy.savez's, and NumPy reads it. Here it is read without NumPy's reader: shapes come
from the bundle, not the file. A header is compared, never parsed, and allocates nothing; every
array is read to its end, where zipfile compares the checksum.
"""

import itertools
import struct
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bundle.contents import Bundle
from ..engine.model import Model
from ..errors import InputError
from ..host import signals
from ..host.files import written_beside

SUFFIX = ".npz"
CHECKSUM = "journal/checksum"  # no variable is called so
NPY = b"\x93NUMPY\x01\x00"  # of an array, in version 1 of the format; then the header's length
# What zipfile raises for a file that is not what save_parameters wrote, and `_array`.
UNREADABLE = (
    OSError, ValueError, KeyError, OverflowError, EOFError, RuntimeError, struct.error,
    zipfile.BadZipFile,
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A part of what a model holds, a file of its own.

    Attributes:
      stem: the file's name before the step.
      shapes: of a bundle's tensors, by name.
      read: yields a model's (name, values), slice by slice.
      write: puts them into a model.
      reset: brings a model to where a run begins.
    """

    stem: str
    shapes: Callable[[Bundle], dict[str, tuple[int, ...]]]
    read: Callable[[Model], Iterator[tuple[str, np.ndarray]]]
    write: Callable[[Model, Mapping[str, np.ndarray]], None]
    reset: Callable[[Model], None]


PARAMETERS = Part(
    "parameters-",
    lambda bundle: {variable.name: variable.shape for variable in bundle.variables},
    lambda model: model.read(),
    lambda model, values: model.write(values),
    lambda model: model.initialize(),
)
MOMENTS = Part(
    "moments-",
    lambda bundle: bundle.moments,
    lambda model: model.read_moments(),
    lambda model, values: model.write_moments(values),
    lambda model: model.initialize_adam(),
)


def kept_steps(folder: Path, part: Part = PARAMETERS) -> list[int]:
    """Returns the steps whose parameters (or moments) a run directory holds, in order."""
    names = [path.name for path in Path(folder).glob(f"{part.stem}*{SUFFIX}")]
    numbers = [name[len(part.stem) : -len(SUFFIX)] for name in names]
    return sorted(int(number) for number in numbers if number.isdecimal())


def save_parameters(
    model: Model,
    folder: Path,
    step: int,
    checksum: int | None = None,
    *,
    part: Part = PARAMETERS,
) -> None:
    """Writes the model's parameters, slice by slice, in the format of numpy.savez.

    Args:
      model: holds them.
      folder: the run directory.
      step: the last one taken.
      checksum: of that step's record; None without one.
      part: PARAMETERS, or the moments.

    Raises:
      RunError: the disk is full; what was there before stays.
    """
    with signals.deferred():  # a zipfile that is left in the middle cannot be closed
        _save(model, _path(folder, step, part), checksum, part)


def load_parameters(model: Model, folder: Path, step: int, part: Part = PARAMETERS) -> None:
    """Brings kept parameters into a model, slice by slice.

    Raises:
      InputError: not kept, damaged, or of another bundle.
    """
    path, shapes = _path(folder, step, part), part.shapes(model.bundle)
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist()) - {_member(CHECKSUM)}
            if members != set(map(_member, shapes)):
                raise ValueError(f"{len(members)} variables, expected {len(shapes)}")
            part.write(model, _Variables(archive, shapes))
    except FileNotFoundError as error:
        raise InputError(f"{path}: {error.strerror}; {_which(folder)}") from error
    except UNREADABLE as error:
        raise InputError(f"{path}: damaged ({error}); {_which(folder)}") from error


def checksum_of(folder: Path, step: int, part: Part = PARAMETERS) -> int | None:
    """Returns the checksum in kept parameters, None of damaged ones and of those without."""
    try:
        with zipfile.ZipFile(_path(folder, step, part)) as archive:
            return int(_array(archive, CHECKSUM, np.uint32, ()))
    except UNREADABLE:
        return None


def check_kept(folder: Path, step: int, checksum: int) -> None:
    """Raises InputError where a step's parameters were not kept; step 0's are the bundle's.

    Args:
      folder: the run directory.
      step: of the run.
      checksum: of the step's record.
    """
    if step and step not in kept_steps(folder):
        raise InputError(
            f"{folder}: the parameters of step {step} were not kept, a run with gradients keeps "
            f"the best dev step's and the last; {_which(folder)}, or train it to its end"
        )
    if step and checksum_of(folder, step) not in (None, checksum):  # None is said by who reads it
        raise InputError(
            f"{_path(folder, step, PARAMETERS)}: of another run than the journal beside it; "
            f"{_which(folder)}"
        )


def drop_parameters(folder: Path, but: Collection[int], part: Part = PARAMETERS) -> None:
    """Removes the parameters (or moments) of all other steps."""
    for step in kept_steps(folder, part):
        if step not in but:
            _path(folder, step, part).unlink()


def _save(model, path, checksum, part):
    with written_beside(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        first = [] if checksum is None else [(CHECKSUM, np.array(checksum, np.uint32))]
        for name, values in itertools.chain(first, part.read(model)):
            signals.check()
            with archive.open(_member(name), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


class _Variables(Mapping[str, np.ndarray]):
    """The variables in an open archive, each read when it is asked for."""

    def __init__(self, archive, shapes):
        self._archive, self._shapes = archive, shapes

    def __getitem__(self, name):
        return _array(self._archive, name, np.float32, self._shapes[name])

    def __iter__(self):
        return iter(self._shapes)

    def __len__(self):
        return len(self._shapes)


def _array(archive, name, dtype, shape):
    """Reads an array of this type and shape; raises one of UNREADABLE for any other."""
    info, values = archive.getinfo(_member(name)), np.empty(shape, dtype)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    expected = f"{{'descr': {values.dtype.str!r}, 'fortran_order': False, 'shape': {shape}, }}"
    with archive.open(info) as member:
        begin = member.read(len(NPY) + 2)
        header = member.read(int.from_bytes(begin[len(NPY) :], "little")).rstrip()
        if not begin.startswith(NPY) or header != expected.encode():
            raise ValueError(f"{name} is {str(header[:200])[1:]}, expected {expected!r}")
        read = member.readinto(values.reshape(-1).data.cast("B"))
        if read < values.nbytes or member.read(1):
            raise ValueError(f"{name} is not of {values.nbytes} bytes")
    return values


def _member(name):
    return f"{name}.npy"


def _path(folder, step, part):
    return Path(folder) / f"{part.stem}{step}{SUFFIX}"


def _which(folder):
    return f"--at_step takes {', '.join(map(str, [0, *kept_steps(folder)]))}"
