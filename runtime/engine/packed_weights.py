"""The file of packed weights beside a bundle's model: made once, for one model on one machine.

XNNPACK itself does not notice changed weights, so a stamp beside the file says what it was packed
from and for. Where that differs, or the file does, it is made again.

XNNPACK does not check the file's contents either. Reading them all at every start would cost as
much again as the model's own check (0.8 s for RoBERTa-large, 3 s for OPT-1.3B where sha256 makes
0.4 GB/s), and all that may be in memory at once where it is scarce. So the stamp holds the time of
modification beside the sha256: whoever wrote into the file has changed the one, and only then the
other is compared, which also takes a copy of the folder as it is. What this cannot notice is a
medium that returns other bytes than were written; the file is flushed before it gets its name, so
that a lost battery leaves no such thing behind.
"""

import os
from collections.abc import Callable
from importlib import metadata

from .. import contract
from ..bundle.contents import Bundle
from ..errors import InputError
from ..host.cpu import processor
from ..host.files import read_json, sha256_of, write_json
from .compiled import DISTRIBUTION, CompiledEngine

MODIFIED = "modified_ns"


def packs(bundle: Bundle, engine_name: str) -> bool:
    """Whether an engine can share the bundle's constants, packed, and keep them in a file."""
    return bool(bundle.frozen) and engine_name == "litert"


def open_packed(
    bundle: Bundle,
    threads: int,
    in_file: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> CompiledEngine:
    """Opens a bundle with its packed weights in a file, made first where none fits, or in memory.

    Args:
      bundle: one that `packs`.
      threads: of the kernels.
      in_file: False keeps them in memory.
      say: told that the file is made.

    Raises:
      InputError: the engine is missing, cannot read the model, or the folder cannot be written.
    """
    path = bundle.folder / contract.PACKED_FILE
    if not in_file:
        return CompiledEngine(bundle.model_path, threads, None)
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
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    write_json(bundle.folder / contract.PACKED_STAMP, _stamp(bundle, path, sha256_of(path)))
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
    found = _stamp(bundle, path, held.get("sha256"))
    if held == found:
        return True
    if held | {MODIFIED: found[MODIFIED]} != found or sha256_of(path) != held["sha256"]:
        return False
    if os.access(bundle.folder, os.W_OK):  # else it is read again next time
        write_json(stamp, found)
    return True


def _stamp(bundle, path, sha256):
    status = path.stat()
    return {
        "model_sha256": bundle.fingerprint,
        "library": f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}",
        "processor": processor(),
        "bytes": status.st_size,
        MODIFIED: status.st_mtime_ns,
        "sha256": sha256,
    }
