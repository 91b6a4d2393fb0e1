"""A checkpoint's folder as a source."""

import os
from functools import partial
from pathlib import Path

from pocketllm.runtime.errors import InputError

from ..checkpoint.config import read_config_json
from ..checkpoint.other_files import as_file
from ..checkpoint.reader import open_checkpoint
from ..checkpoint.source_files import (
    CONFIG_FILE,
    SourceFiles,
    collect_files,
    files_of_folder,
    hub_name_of,
)
from .source import Source


def folder_source(folder: Path, name: str | None = None) -> Source:
    """Returns the source of a checkpoint's folder.

    Args:
      folder: of the checkpoint.
      name: of the model; None for the folder's, or the Hub's where it lies in the Hub's cache.

    Raises:
      InputError: a file stands there.
    """
    if folder.is_file():
        raise InputError(
            f"--model={folder}: a file, expected a folder, a GGUF file or a preset; "
            f"{as_file(folder)}"
        )
    path = folder / CONFIG_FILE
    cached = hub_name_of(folder)
    of_hub, commit = cached or (Path(os.path.abspath(folder)).name, None)
    name = name or of_hub
    return Source(
        name=name,
        config_path=path,
        read_config=partial(read_config_json, path),
        tokenizer=folder,
        small_files=partial(small_files, folder, name),
        open_weights=partial(open_checkpoint, folder),
        commit=commit,
    )


def small_files(folder: Path, name: str) -> SourceFiles:
    """Reads what lies in a checkpoint's folder beside the weights."""
    return collect_files(files_of_folder(folder), name)
