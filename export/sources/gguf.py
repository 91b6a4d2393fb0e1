"""A GGUF file as a source: its small files are rebuilt in a folder that lives as long."""

import json
import os
import shutil
import tempfile
import weakref
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from pocketllm.runtime.host.partials import PARTIAL, sweep, under_way

from ..checkpoint.gguf.header import MAGIC
from ..checkpoint.gguf.model import SUFFIX, read_gguf
from ..checkpoint.source_files import CONFIG_FILE
from .folder import small_files
from .source import Source

FOLDER = "pocketllm-gguf-"  # begins the name of a source's folder


def is_gguf(path: Path) -> bool:
    """Whether a path names a GGUF file, by its suffix or its first bytes; it may not exist."""
    if path.is_dir():
        return False
    if path.suffix.lower() == SUFFIX:
        return True
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def gguf_source(path: Path) -> Source:
    """Returns the source of a GGUF file.

    Raises:
      InputError: it is damaged, or no whole language model that is implemented.
    """
    model = read_gguf(path)
    file_name = path.name.encode(errors="replace").decode()
    place = tempfile.gettempdir()
    sweep(Path(place), lambda name: name.startswith(FOLDER))
    folder = Path(tempfile.mkdtemp(f"{PARTIAL}{os.getpid()}", f".{FOLDER}", place))
    lifetime = ExitStack()
    lifetime.callback(shutil.rmtree, folder, ignore_errors=True)
    lifetime.enter_context(under_way(folder))
    source = Source(
        name=model.name,
        config_path=path,
        read_config=partial(json.loads, model.files[CONFIG_FILE]),
        tokenizer=folder,
        small_files=lambda: replace(small_files(folder, model.name), gguf=file_name),
        open_weights=model.open_weights,
    )
    weakref.finalize(source, lifetime.close)
    for name, data in model.files.items():
        (folder / name).write_bytes(data)
    return source
