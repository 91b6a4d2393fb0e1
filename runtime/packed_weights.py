"""The file of packed weights beside a bundle's model: made once, for one model on one machine.

XNNPACK itself does not notice changed weights, so a stamp beside the file says what it was packed
from and for. Where that differs, or the file's size does, it is made again.
"""

import os
from collections.abc import Callable
from importlib import metadata

from . import contract
from .bundle import Bundle
from .compiled_engine import DISTRIBUTION, CompiledEngine
from .errors import InputError
from .files import read_json, write_json
from .machine import processor


def open_packed(
    bundle: Bundle, threads: int, say: Callable[[str], None] = lambda line: None
) -> CompiledEngine:
    """Opens a bundle with its packed weights in a file, made first where none fits.

    Args:
      bundle: of a frozen base.
      threads: of the kernels.
      say: told that the file is made.

    Raises:
      InputError: the engine is missing, cannot read the model, or the folder cannot be written.
    """
    path = bundle.folder / contract.PACKED_FILE
    if _fits(bundle):
        return CompiledEngine(bundle.model_path, threads, path)
    if not os.access(bundle.folder, os.W_OK):
        raise InputError(
            f"{bundle.folder}: cannot be written, and holds no packed weights for this machine; "
            "make it writable once, or give --nopacked_weights to keep them in memory"
        )
    say(f"{path}: packing the frozen weights, once for this machine")
    (bundle.folder / contract.PACKED_STAMP).unlink(missing_ok=True)
    # Beside it and renamed: another process may have the old one open.
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        engine = CompiledEngine(bundle.model_path, threads, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    stamp = _stamp(bundle) | {"bytes": path.stat().st_size}
    write_json(bundle.folder / contract.PACKED_STAMP, stamp)
    return engine


def _fits(bundle):
    stamp = bundle.folder / contract.PACKED_STAMP
    path = bundle.folder / contract.PACKED_FILE
    if not stamp.exists() or not path.exists():
        return False
    try:
        held = read_json(stamp, "remove it")
    except InputError:
        return False
    return held == _stamp(bundle) | {"bytes": path.stat().st_size}


def _stamp(bundle):
    return {
        "model_sha256": bundle.fingerprint,
        "library": f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}",
        "processor": processor(),
    }
