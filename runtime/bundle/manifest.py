"""Bundle: what `bundle.json` says, checked; tflite_models/FORMAT.md describes the format."""

import json
import math
import os
from pathlib import Path

import numpy as np

from .. import contract
from ..errors import InputError
from ..host.files import read_json, sha256_of
from ..host.typed_json import typed
from ..noise import Noise
from ..tasks.chat_codec import pieces_from_json
from ..tasks.codec import from_json
from .checks import check_bundle
from .checksum import CHECKSUM, verify_checksum
from .contents import Bundle, Parameter, SpecialTokens, Variable

INVALID = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
REASON_CHARACTERS = 400  # of a value that may be of any length
REMEDY = "export the bundle again with `pocketllm export`"


def read_bundle(folder: str | Path, verify: bool = True) -> Bundle:
    """Reads and checks a bundle.

    Args:
      folder: the bundle's folder.
      verify: also compare the other files' sizes and sha256 sums with bundle.json.

    Raises:
      InputError: missing, of another format or earlier version, inconsistent, or altered.
    """
    folder = Path(folder)
    manifest = folder / contract.MANIFEST_FILE
    values = read_json(manifest, f"give the folder of a bundle, or {REMEDY}")
    version = values.get("format_version")
    if version != contract.FORMAT_VERSION:
        raise InputError(
            f"{manifest}: bundle format {repr(version)[:40]}, this runtime reads format "
            f"{contract.FORMAT_VERSION}; {REMEDY}"
        )
    verify_checksum(manifest, values, REMEDY)
    try:
        bundle = _parse(folder, values)
    except INVALID as error:
        what = f"missing {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{manifest}: not a valid bundle ({what[:REASON_CHARACTERS]}); {REMEDY}"
        ) from error
    for name, entry in bundle.files.items() if verify else ():
        _verify(folder, name, entry)
    return bundle


def read_initial(bundle: Bundle, variable: Variable) -> np.ndarray:
    """Reads the initial values of a variable out of the model file."""
    count = math.prod(variable.shape)
    values = np.fromfile(bundle.model_path, np.float32, count, offset=variable.offset)
    return values.reshape(variable.shape)


def read_noise(bundle: Bundle) -> Noise:
    """Reads the noise constants out of the model file, for the NumPy reference."""
    if "offset" not in bundle.noise:
        return Noise(bundle.noise["kind"])
    shape = (bundle.noise["rows"], bundle.noise["columns"])
    table = np.fromfile(
        bundle.model_path, np.float32, shape[0] * shape[1], offset=bundle.noise["offset"]
    )
    return Noise(bundle.noise["kind"], table.reshape(shape))


def _parse(folder, values):
    # The exporter writes neither; no JSON file and no terminal takes them.
    json.dumps(values, ensure_ascii=False, allow_nan=False).encode()

    def read(hint, key):
        return typed(hint, values[key], key)

    bundle = Bundle(
        folder=folder,
        checksum=values[CHECKSUM],
        model_name=read(str, "model_name"),
        style=read(str, "style"),
        architecture=read(str, "architecture"),
        tied_decoder=read(bool, "tied_decoder"),
        config=read(dict, "config"),
        task=from_json(values["task"], read(str, "style")),
        scoring=read(str, "scoring"),
        word_ids=read(tuple[int, ...], "word_ids"),
        option_tokens=read(int, "option_tokens"),
        special_tokens=read(SpecialTokens, "special_tokens"),
        max_tokens=read(int, "max_tokens"),
        default_eps=float(read(float, "default_eps")),
        optimizers=read(tuple[str, ...], "optimizers"),
        batch_size=read(int, "batch_size"),
        lengths=read(tuple[int, ...], "lengths"),
        parameters=typed(tuple[Parameter, ...], values["parameters"], "parameters", further=True),
        slices=read(int, "slices"),
        signatures=read(dict, "signatures"),
        noise=read(dict, "noise"),
        files={
            name: {
                "bytes": typed(int, entry["bytes"], f"files.{name}.bytes"),
                "sha256": typed(str, entry["sha256"], f"files.{name}.sha256"),
            }
            for name, entry in read(dict, "files").items()
        },
        tune=read(str, "tune"),
        base=read(str, "base"),
        frozen={
            typed(str, p["name"], "frozen"): typed(tuple[int, ...], p["shape"], "frozen")
            for p in read(list, "frozen")
        },
        lora=read(dict, "lora") if values["tune"] == contract.LORA else {},
        model_commit=read(str, "model_commit") if "model_commit" in values else None,
        context=read(int, "context") if "context" in values else 0,
        chat=pieces_from_json(values.get("chat")),
        stop_ids=typed(tuple[int, ...], values.get("stop_ids", []), "stop_ids"),
    )
    check_bundle(bundle)
    return bundle


def _verify(folder, name, entry):
    if name != os.path.basename(name) or name in ("", ".", "..") or "\0" in name:
        raise InputError(f"{folder}: file name {name!r} leaves the bundle's folder; {REMEDY}")
    path = folder / name
    if name == contract.SOURCE_FILE and not path.exists():
        return  # only `replay` needs it
    try:
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise InputError(f"{path}: {size} bytes, expected {entry['bytes']}; {REMEDY}")
        digest = sha256_of(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; {REMEDY}") from error
    if digest != entry["sha256"]:
        raise InputError(
            f"{path}: sha256 {digest[:12]}…, expected {entry['sha256'][:12]}…: "
            f"the file was altered; {REMEDY}"
        )
