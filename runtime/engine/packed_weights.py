"""The file of packed weights beside a bundle's model: made once, for one model on one machine.

XNNPACK checks neither what the file was packed from nor its contents, so a stamp beside it does;
where either differs, the file is made again. docs/decisions/0009 has the reasons.
"""

import os
from collections.abc import Callable, Collection
from importlib import metadata

from .. import contract
from ..bundle.contents import Bundle
from ..errors import InputError
from ..host.cpu import instructions, processor
from ..host.files import path_beside, read_json, sha256_of, write_json
from .compiled import DISTRIBUTION, CompiledEngine
from .packing import pack

MODIFIED = "modified_ns"


def packs(bundle: Bundle, engine_name: str) -> bool:
    """Whether an engine can share the bundle's constants, packed, and keep them in a file."""
    return bool(bundle.frozen) and engine_name == "litert"


def open_packed(
    bundle: Bundle,
    threads: int,
    *,
    in_file: bool = True,
    calls: Collection[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> CompiledEngine:
    """Opens a bundle with its packed weights in a file, made first where none fits, or in memory.

    Args:
      bundle: one that `packs`.
      threads: of the kernels.
      in_file: False keeps them in memory.
      calls: names or stems of the signatures that are called; None: all can be.
      say: prints a line, when the file is made.

    Raises:
      InputError: the engine is missing, cannot read the model, or the folder cannot be written.
      RunError: the disk is full, or packing failed.
    """
    path = bundle.folder / contract.PACKED_FILE
    if not in_file:
        return CompiledEngine(bundle.model_path, threads, None, calls)
    if "\n" in f"{path}":
        raise InputError(
            f"{bundle.folder}: a line break in its path, where LiteRT ends the path of the packed "
            "weights; move the bundle, or give --nopacked_weights to keep them in memory"
        )
    if _fits(bundle):
        return CompiledEngine(bundle.model_path, threads, path, calls)
    if not os.access(bundle.folder, os.W_OK):
        raise InputError(
            f"{bundle.folder}: cannot be written, and holds no packed weights for this machine; "
            "make it writable once, or give --nopacked_weights to keep them in memory"
        )
    say(f"{path}: packing the frozen weights, once for this machine")
    # Never written in place: another process may have the old file open. Its space is needed.
    for old in (bundle.folder / contract.PACKED_STAMP, path):
        old.unlink(missing_ok=True)
    with path_beside(path) as beside:
        pack(bundle, threads, beside)
    try:
        write_json(bundle.folder / contract.PACKED_STAMP, _stamp(bundle, path, sha256_of(path)))
    except BaseException:  # without its stamp it is of no use, and takes space
        path.unlink()
        raise
    return CompiledEngine(bundle.model_path, threads, path, calls)


def _fits(bundle):
    """Whether the file was packed from this bundle, on this machine, and was not changed since."""
    stamp_path = bundle.folder / contract.PACKED_STAMP
    path = bundle.folder / contract.PACKED_FILE
    if not stamp_path.exists() or not path.exists():
        return False
    try:
        stamp = read_json(stamp_path, "remove it")
    except InputError:
        return False
    expected = _stamp(bundle, path, stamp.get("sha256"))
    if stamp == expected:
        return True
    # Only the time differs, as in a copy of the folder: then the contents decide.
    if stamp | {MODIFIED: expected[MODIFIED]} != expected or sha256_of(path) != stamp["sha256"]:
        return False
    if os.access(bundle.folder, os.W_OK):  # else the contents are read again next time
        write_json(stamp_path, expected)
    return True


def _stamp(bundle, path, sha256):
    status = path.stat()
    return {
        "bundle_checksum": bundle.checksum,
        "library": f"{DISTRIBUTION} {metadata.version(DISTRIBUTION)}",
        "processor": processor(),
        "instructions": instructions(),
        "bytes": status.st_size,
        MODIFIED: status.st_mtime_ns,
        "sha256": sha256,
    }
