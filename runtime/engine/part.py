"""The part of a model file that a process opens: the signatures that it calls."""

import struct
from collections.abc import Collection
from pathlib import Path

from .. import contract
from .flatbuffer import keep_signatures, values_offset
from .mapped_bytes import MappedBytes, is_possible


def part_of(path: Path, calls: Collection[str] | None) -> MappedBytes | None:
    """Maps a model file without the signatures that are not called.

    Args:
      path: the .tflite file.
      calls: names or stems of the signatures that are; None: all.

    Returns:
      None where the file is to be opened by its name: whole, because this system has no such
      mappings, or because it is no model, which the library then says.
    """
    if calls is None or not is_possible():
        return None
    try:
        file = MappedBytes(path)
        flatbuffer = file.writable(values_offset(memoryview(file.content)))
        keep_signatures(flatbuffer, lambda name: is_called(name, calls))
    except (OSError, ValueError, IndexError, struct.error):
        return None
    return file


def is_called(signature: str, calls: Collection[str]) -> bool:
    """Whether a signature is among those that are called, by its name or its stem."""
    return signature in calls or contract.stem_of(signature) in calls
