"""SwiftShader, a GPU in software, with Vulkan's loader: the files of Debian's packages.

`python tests/support/accelerators/swiftshader.py` puts them into the cache, unless they are there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pocketllm.runtime.host.folders import cache_folder

PACKAGES = ("chromium-common", "libvulkan1")
LOADER, DEVICE = "libvulkan.so.1", "vk_swiftshader_icd.json"
FILES = (LOADER, DEVICE, "libvk_swiftshader.so")


class Missing(Exception):
    """It is not here and cannot be fetched; says why, in one line."""


def folder() -> Path:
    """Returns the folder in the cache."""
    return cache_folder("swiftshader")


def is_installed() -> bool:
    """Whether all its files are in the cache."""
    return all((folder() / name).is_file() for name in FILES)


def install() -> Path:
    """Returns the folder, filled by apt where it was not; raises Missing."""
    if is_installed():
        return folder()
    with tempfile.TemporaryDirectory() as place:
        download(place)
        for package in Path(place).glob("*.deb"):
            run("dpkg-deb", "-x", str(package), place)
        folder().mkdir(parents=True, exist_ok=True)
        for name in FILES:
            source = next((p for p in Path(place).rglob(name) if p.is_file()), None)
            if source is None:
                raise Missing(f"{' and '.join(PACKAGES)} hold no {name}")
            shutil.copy(source, folder() / f"{name}.new")
            (folder() / f"{name}.new").replace(folder() / name)
    return folder()


def download(place: str) -> None:
    """Fetches the packages into a folder; of a list of packages that is old, once it is new."""
    try:
        run("apt-get", "download", *PACKAGES, cwd=place)
    except Missing:
        if os.geteuid():
            raise
        run("apt-get", "update", "-q")
        run("apt-get", "download", *PACKAGES, cwd=place)


def run(*command: str, cwd: str | None = None) -> None:
    """Runs a command; raises Missing with its last complaint."""
    if not shutil.which(command[0]):
        raise Missing(f"{command[0]} is not installed: the packages are Debian's")
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Missing(f"{' '.join(command[:2])} did not end well ({why})")


def needed() -> dict[str, str]:
    """Returns the environment that makes it the GPU; without it the test is skipped."""
    import pytest

    if not is_installed():
        pytest.skip(f"SwiftShader is not in {folder()}: `make accelerator-tools` puts it there")
    return {"VK_ICD_FILENAMES": str(folder() / DEVICE), "LD_LIBRARY_PATH": str(folder())}


if __name__ == "__main__":
    try:
        print(install())
    except Missing as error:
        sys.exit(f"error: {error}")
