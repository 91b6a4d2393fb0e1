"""Packing a bundle's frozen weights into a file, in a process that may die of it.

XNNPACK ends the process where it cannot write the file, so a child packs.
"""

import math
import os
import resource
from pathlib import Path

from .. import contract
from ..bundle.contents import Bundle
from ..errors import RunError
from .child import run_in_child
from .compiled import CompiledEngine

IN_MEMORY = "give --nopacked_weights to keep them in memory"


def pack(bundle: Bundle, threads: int, path: Path) -> None:
    """Packs a bundle's frozen weights into a file that is there and empty.

    Args:
      bundle: one that packed_weights `packs`.
      threads: of the kernels.
      path: the file.

    Raises:
      InputError: the engine is missing, or cannot read the model.
      RunError: the disk has too little space, or packing failed.
    """
    needed, free = least_packed_bytes(bundle), _free_bytes(path.parent)
    space = f"{needed:,} bytes are needed at least, {free:,} can be written"
    packed = f"{bundle.folder / contract.PACKED_FILE}: cannot be written"
    if free < needed:
        raise RunError(f"{packed}: {space}; free some space, or {IN_MEMORY}")
    death = run_in_child(lambda: CompiledEngine(bundle.model_path, threads, path))
    if death or not path.stat().st_size:
        how = f"died of {death.signal}" if death else "wrote nothing"
        last = f" (it printed: {death.lines})" if death and death.lines else ""
        raise RunError(
            f"{packed}: packing {how}{last}; {space}: free some space or memory, or {IN_MEMORY}"
        )


def least_packed_bytes(bundle: Bundle) -> int:
    """Returns a lower bound of the file's size: its matrices without the largest.

    That one is a table of embeddings as a rule, which is not packed.
    """
    sizes = sorted(math.prod(shape) for shape in bundle.frozen.values() if len(shape) == 2)
    return sum(sizes[:-1]) * contract.BASE_BITS[bundle.base] // 8


def _free_bytes(folder):
    """Returns how many bytes a file of this process in a folder can have."""
    system, limit = os.statvfs(folder), resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    free = (system.f_bavail if os.geteuid() else system.f_bfree) * system.f_frsize
    return free if limit == resource.RLIM_INFINITY else min(free, limit)
