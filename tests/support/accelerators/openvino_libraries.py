"""OpenVINO's libraries, which LiteRT's compiler for Intel's NPUs needs: the wheel, in the cache.

`python tests/support/accelerators/openvino_libraries.py` puts it there by pip, unless it is there.
"""

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from pocketllm.runtime.host.folders import cache_folder

# The compiler of ai-edge-litert 2.3 is built for this release alone (libopenvino.so.2631).
PACKAGE, VERSION = "openvino", "2026.3.1"


def folder() -> Path:
    """Returns the folder in the cache that the wheel is unpacked in."""
    return cache_folder(PACKAGE)


def is_installed() -> bool:
    """Whether the release that the tests ran with is in the cache."""
    return any(
        d.name == PACKAGE and d.version == VERSION for d in distributions(path=[str(folder())])
    )


def install() -> None:
    """Fills the folder, unless it is full; exits with a line where pip cannot."""
    if is_installed():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
    done = subprocess.run([*command, "--target", folder(), f"{PACKAGE}=={VERSION}"])
    if done.returncode:
        sys.exit(f"error: {PACKAGE} {VERSION} cannot be installed")


def needed() -> dict[str, str]:
    """Returns the environment in which LiteRT finds them; without them the test is skipped."""
    import pytest

    if not is_installed():
        pytest.skip(
            f"{PACKAGE} {VERSION} is not in {folder()}: `make accelerator-tools` puts it there"
        )
    # Its CPU device computes in bfloat16 where a processor has that; with AVX2 alone none has.
    return {"LD_LIBRARY_PATH": str(folder() / PACKAGE / "libs"), "ONEDNN_MAX_CPU_ISA": "AVX2"}


if __name__ == "__main__":
    install()
