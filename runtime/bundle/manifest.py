"""Bundle: what `bundle.json` says, checked; tflite_models/FORMAT.md describes the format."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import contract
from ..errors import InputError
from ..host.files import read_json, sha256_of
from ..host.typed_json import typed
from ..noise import Noise
from ..tasks.causal import OptionTask
from ..tasks.codec import from_json
from ..tasks.masked import Task
from .checks import check_bundle
from .checksum import check_seal

REMEDY = "export the bundle again with `pocketllm export`"


@dataclass(frozen=True)
class Variable:
    """One resource variable: a parameter, or a chunk of its rows.

    Attributes:
      name: name in the `read_*` and `write_*` signatures.
      shape: as the graph holds it; linear weights are [1, in, out].
      stream: noise stream number.
      offset: of its initial values in the model file: float32, row-major.
      rows: (first, last + 1) row of the parameter, None for a whole one.
    """

    name: str
    shape: tuple[int, ...]
    stream: int
    offset: int
    rows: tuple[int, int] | None


@dataclass(frozen=True)
class Parameter:
    """One tensor of the checkpoint: its name and shape there, and the variables that hold it."""

    name: str
    shape: tuple[int, ...]
    transposed: bool
    decays: bool
    variables: tuple[Variable, ...]


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk.

    Attributes:
      folder: where it lies.
      model_name: preset or checkpoint folder it was exported from.
      family: "roberta" or "opt".
      tied_decoder: whether the LM head's decoder is the word embeddings.
      config: the architecture, Hugging Face names.
      task: template, label words or options.
      scoring: one of contract.SCORINGS, how the logits come about.
      word_ids: token ids of the label words, none for the other scorings.
      option_tokens: the longest option that the forward signatures take, 0 for "words".
      optimizers: whose signatures it has, "mezo" always.
      batch_size: rows of every forward signature.
      lengths: tokens of the forward signatures, ascending.
      parameters: the parameter table.
      slices: number of `initialize_*`, `read_*` and `write_*` signatures each.
      signatures: name -> {"inputs": {name: [dtype, shape]}, "outputs": likewise}.
      noise: kind and constants, as in bundle.json.
      files: name -> {"bytes", "sha256"}.
      tune: one of contract.TUNES, what is trained: `parameters` lists it.
      base: one of contract.BASES, how the frozen parameters are stored.
      frozen: name -> shape of the parameters that are not trained.
      lora: rank, alpha, targets and extras, where `tune` is "lora".
    """

    folder: Path
    model_name: str
    family: str
    tied_decoder: bool
    config: dict
    task: Task | OptionTask
    scoring: str
    word_ids: tuple[int, ...]
    option_tokens: int
    optimizers: tuple[str, ...]
    batch_size: int
    lengths: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    slices: int
    signatures: dict
    noise: dict
    files: dict
    tune: str
    base: str
    frozen: dict
    lora: dict

    @property
    def model_path(self) -> Path:
        """The .tflite file."""
        return self.folder / contract.MODEL_FILE

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer's file."""
        return self.folder / contract.TOKENIZER_FILE

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All variables, in stream order."""
        return tuple(v for parameter in self.parameters for v in parameter.variables)

    @property
    def fingerprint(self) -> str:
        """The model file's sha256: what a run directory is bound to."""
        return self.files[contract.MODEL_FILE]["sha256"]


def read_bundle(folder: str | Path, verify: bool = True) -> Bundle:
    """Reads and checks a bundle.

    Args:
      folder: the bundle's folder.
      verify: also compare the other files' sizes and sha256 sums with bundle.json.

    Raises:
      InputError: missing, of another format version, inconsistent, or altered.
    """
    folder = Path(folder)
    manifest = folder / contract.MANIFEST_FILE
    values = read_json(manifest, f"give the folder of a bundle, or {REMEDY}")
    version = values.get("format_version")
    if version != contract.FORMAT_VERSION:
        raise InputError(
            f"{manifest}: bundle format {version!r}, this runtime reads format "
            f"{contract.FORMAT_VERSION}; {REMEDY}"
        )
    check_seal(manifest, values, REMEDY)
    try:
        bundle = _parse(folder, values)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"missing {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{manifest}: not a valid bundle ({what}); {REMEDY}") from error
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
    bundle = Bundle(
        folder=folder,
        model_name=str(values["model_name"]),
        family=str(values["family"]),
        tied_decoder=bool(values["tied_decoder"]),
        config=dict(values["config"]),
        task=from_json(values["task"], str(values["family"])),
        scoring=values.get("scoring", contract.WORDS),
        word_ids=tuple(int(i) for i in values["word_ids"]),
        option_tokens=int(values.get("option_tokens", 0)),
        optimizers=tuple(str(name) for name in values.get("optimizers", [contract.MEZO])),
        batch_size=int(values["batch_size"]),
        lengths=tuple(int(tokens) for tokens in values["lengths"]),
        parameters=typed(tuple[Parameter, ...], values["parameters"], "parameters", further=True),
        slices=int(values["slices"]),
        signatures=dict(values["signatures"]),
        noise=dict(values["noise"]),
        files={
            name: {"bytes": int(entry["bytes"]), "sha256": str(entry["sha256"])}
            for name, entry in values["files"].items()
        },
        tune=values["tune"],
        base=values["base"],
        frozen={str(p["name"]): tuple(map(int, p["shape"])) for p in values.get("frozen", [])},
        lora=dict(values.get("lora", {})),
    )
    check_bundle(bundle)
    return bundle


def _verify(folder, name, entry):
    if name != os.path.basename(name) or name in ("", ".", "..") or "\0" in name:
        raise InputError(f"{folder}: file name {name!r} leaves the bundle's folder; {REMEDY}")
    path = folder / name
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
