"""The small files of a checkpoint, as they were: source.json of a bundle, which `replay` reads.

`{"name": …, "files": {file name: {"text": …} or {"base64": …}}}`, and `"gguf": file name` where the
model was one. The runtime reads none of it.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.files import json_bytes, read_json
from pocketllm.runtime.host.typed_json import typed

from .tokenizer_files import TOKENIZER_FILES, VERSIONED

CONFIG_FILE = "config.json"
# All that is kept beside the weights, in the order of source.json.
SMALL_FILES = (
    CONFIG_FILE, "generation_config.json", *TOKENIZER_FILES,
    "chat_template.jinja", "chat_template.json",
)  # fmt: skip
# Kept too: further chat templates, and a tokenizer.json of some versions of transformers.
TEMPLATE_FOLDER = "additional_chat_templates"
FURTHER = ("tokenizer.*.json", f"{TEMPLATE_FOLDER}/*.jinja")
FURTHER_NAME = re.compile(rf"{VERSIONED.pattern}|{TEMPLATE_FOLDER}/\w[\w .+-]*\.jinja")
# Of all small files. The largest published tokenizers have 40 MB.
MOST_BYTES = 128_000_000
# The folder of a model in the Hub's cache.
CACHED = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})")
REMEDY = "export the bundle again with `pocketllm export`"


@dataclass(frozen=True)
class SourceFiles:
    """What a checkpoint's folder holds beside its weights.

    Attributes:
      name: of the model: the Hub's where the folder lies in the Hub's cache, else the folder's.
      files: {name: bytes}, some of SMALL_FILES, and those that FURTHER_NAME matches.
      gguf: name of the GGUF file that the model was; None of a checkpoint's folder.
    """

    name: str
    files: dict[str, bytes]
    gguf: str | None = None


def collect_files(paths: Mapping[str, Path], name: str) -> SourceFiles:
    """Reads the small files of a checkpoint; links are followed, other files are left alone.

    Args:
      paths: {name of a small file: the path it would have}.
      name: of the model.

    Raises:
      InputError: a file that cannot be read, or files that are too large to be a tokenizer's.
    """
    files: dict[str, bytes] = {}
    free = MOST_BYTES
    for file_name in _in_order(paths):
        path = paths[file_name]
        if not path.is_file():
            continue
        try:
            size = path.stat().st_size
            if size <= free:
                files[file_name] = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read: {error.strerror}; the bundle keeps the checkpoint's "
                "small files for `replay`: let it be read, or remove it"
            ) from error
        if size > free:
            raise InputError(
                f"{path}: {size / 1e6:.0f} MB, expected at most {MOST_BYTES / 1e6:.0f} MB in all "
                "files beside the weights; give the tokenizer files of this checkpoint"
            )
        free -= size
    return SourceFiles(name, files)


def files_of_folder(folder: Path) -> dict[str, Path]:
    """Returns the paths that the small files of one folder would have."""
    further = [path for pattern in FURTHER for path in folder.glob(pattern)]
    names = [*SMALL_FILES, *(path.relative_to(folder).as_posix() for path in further)]
    return {name: folder / name for name in names if is_small_file(name)}


def is_small_file(name: str) -> bool:
    """Whether a file of this name, below a checkpoint's folder, is kept."""
    return name in SMALL_FILES or FURTHER_NAME.fullmatch(name) is not None


def _in_order(names):
    """Returns those names that are small files', in the order of source.json."""
    further = sorted(name for name in names if FURTHER_NAME.fullmatch(name))
    return [*(name for name in SMALL_FILES if name in names), *further]


def hub_name_of(folder: Path) -> tuple[str, str] | None:
    """Returns the Hub's name and the commit of a folder in the Hub's cache; None of any other."""
    cached = CACHED.fullmatch("/".join(Path(folder).absolute().parts[-3:]))
    return (f"{cached[1]}/{cached[2]}", cached[3]) if cached else None


def source_json(source: SourceFiles) -> bytes:
    """Returns the bytes of source.json, the same ones for the same files."""
    entries = {name: _entry(source.files[name]) for name in _in_order(source.files)}
    of_file = {} if source.gguf is None else {"gguf": source.gguf}
    return json_bytes({"name": source.name, **of_file, "files": entries})


def _entry(data):
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def read_source_files(bundle: Bundle) -> SourceFiles:
    """Reads source.json of a bundle; `read_bundle` has verified it.

    Raises:
      InputError: it is missing, or not as `source_json` writes it.
    """
    path = bundle.folder / contract.SOURCE_FILE
    if contract.SOURCE_FILE not in bundle.files:
        raise InputError(f"{bundle.folder}: without {contract.SOURCE_FILE}; {REMEDY}")
    values = read_json(
        path, "a copy of the bundle may leave it out, `replay` needs the bundle as exported"
    )
    try:
        files = {name: _data(entry) for name, entry in values["files"].items()}
        if not all(map(is_small_file, files)) or CONFIG_FILE not in files:
            raise ValueError(f"files {', '.join(sorted(files))}")
        name = typed(str, values["name"], "name")
        gguf = typed(str | None, values.get("gguf"), "gguf")
        f"{name}{gguf}".encode()  # model cards and pocketllm.json hold them
        return SourceFiles(name, files, gguf)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not as `export` writes it ({error}); {REMEDY}") from error


def _data(entry):
    if "text" in entry:
        return entry["text"].encode("utf-8")
    return base64.b64decode(entry["base64"], validate=True)
