"""Whether Flower is here, in the version whose commands and files this package knows."""

import sys
from importlib import metadata
from pathlib import Path

from pocketllm.runtime.errors import InputError

VERSION, OLDEST_PYTHON = "1.42.0", (3, 11)
REMEDY = "install pocketllm[federated]"


def check_flower() -> None:
    """Raises InputError without Flower, with another version, or under an older Python."""
    if sys.version_info < OLDEST_PYTHON:
        version = ".".join(map(str, sys.version_info[:2]))
        raise InputError(f"Python {version}: Flower needs 3.11 or newer; take another Python")
    try:
        version = metadata.version("flwr")
    except metadata.PackageNotFoundError as error:
        raise InputError(f"Flower is not installed; {REMEDY}") from error
    if version != VERSION:
        raise InputError(f"found flwr {version}, expected {VERSION}; {REMEDY}")


def program(name: str) -> str:
    """Returns the path of one of Flower's programs, beside this Python."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise InputError(f"{path}: not there; {REMEDY}")
    return str(path)
