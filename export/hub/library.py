"""The library `huggingface_hub`: quiet, without telemetry, and where its cache lies."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils.logging import get_verbosity, set_verbosity

LIBRARY_NAME = "pocketllm"  # what requests say of who makes them
# Files come over plain HTTP, where a download can go on after a break; not through Xet's program.
# The bytes of a piece that is not whole are lost with the connection.
SETTINGS = {
    "HF_HUB_DISABLE_TELEMETRY": True,
    "HF_HUB_DISABLE_XET": True,
    "DOWNLOAD_CHUNK_SIZE": 1 << 20,
}


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the library from printing, and from saying who we are, during the block."""
    before = {name: getattr(constants, name) for name in SETTINGS}
    verbosity = get_verbosity()
    for name, value in SETTINGS.items():
        setattr(constants, name, value)
    set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        set_verbosity(verbosity)
        for name, value in before.items():
            setattr(constants, name, value)


def endpoint() -> str:
    """Returns the Hub's address, HF_ENDPOINT's where that is set."""
    return constants.ENDPOINT


def seconds() -> float:
    """Returns how long a server may say nothing: HF_HUB_DOWNLOAD_TIMEOUT."""
    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE, or TRANSFORMERS_OFFLINE, is set."""
    return constants.is_offline_mode()


def cache() -> Path:
    """Returns the folder of the Hub's cache: HF_HUB_CACHE, else below HF_HOME."""
    return Path(constants.HF_HUB_CACHE).expanduser().resolve()


def cache_of(repo: str) -> Path:
    """Returns the folder in the cache of one model: blobs, refs and snapshots."""
    return cache() / repo_folder_name(repo_id=repo, repo_type="model")


def cached_models() -> list[str]:
    """Returns the names of the models in the cache."""
    folders = cache().glob("models--*--*") if cache().is_dir() else ()
    return sorted(folder.name.removeprefix("models--").replace("--", "/", 1) for folder in folders)
