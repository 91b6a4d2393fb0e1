"""Aarch64 programs on this machine: QEMU, under Android's folders, with an ARM /proc/cpuinfo.

ai-edge-litert reads /proc/cpuinfo, which QEMU 7.2 does not emulate; binding a file over it takes a
mount namespace, of root's or of a user's own.
"""

import os
import shutil
import subprocess
import warnings
from functools import cache
from pathlib import Path

import pytest

from pocketllm.android_harness.commands.image import fetch_for
from pocketllm.android_harness.image.build import LAUNCHER, build
from pocketllm.android_harness.image.fetch import APT_HELPER, default_cache
from pocketllm.android_harness.image.lock import SHIPPED_LOCK, Package
from pocketllm.runtime.errors import InputError, RunError

HERE = Path(__file__).parent
CPUINFO = HERE.parents[1] / "golden" / "cpuinfo_cortex_a76"
EMULATOR = f"{shutil.which('qemu-aarch64-static')} -cpu cortex-a76"
INSTALL = "sudo apt-get install --no-install-recommends adb qemu-user-static mksh toybox"


def need_tools(*programs: str) -> None:
    """Skips the test, and says why, where these programs or a mount namespace are not to be had."""
    for program in (*programs, "unshare"):
        if not shutil.which(program):
            pytest.skip(f"{program} is missing: {INSTALL}")
    if namespace() is None:
        pytest.skip("no right to make a mount namespace (run as root, or allow user namespaces)")


def need_apt() -> None:
    """Skips the test, and says why, where there is no apt."""
    if not APT_HELPER.exists():
        pytest.skip(f"{APT_HELPER} is missing")


@cache
def packages() -> list[Package]:
    """Fetches what an image is built from, as the command does; where that is not the shipped lock
    file's, pytest's summary says so.

    Skips the test where it cannot be had.
    """
    try:
        lock_packages, _, replaced = fetch_for(SHIPPED_LOCK, default_cache())
    except (InputError, RunError) as error:
        pytest.skip(str(error))
    if replaced:
        warnings.warn(f"not the shipped lock file: {'; '.join(replaced)}", stacklevel=2)
    return lock_packages


def make_image(folder: Path) -> Path:
    """Builds the device image; skips the test where its packages are not to be had."""
    return build(packages(), default_cache(), folder).folder


@cache
def namespace() -> list[str] | None:
    """Returns the command that runs another with mounts and processes of its own, or None."""
    for user in ([], ["--map-root-user"]):
        command = ["unshare", *user, "--mount", "--pid", "--fork", "--kill-child"]
        tried = [*command, "sh", "-c", "mount -t tmpfs none /mnt && mount -t proc proc /proc"]
        if subprocess.run(tried, capture_output=True).returncode == 0:
            return command
    return None


def on_phone(*command, data_size: str = "16m") -> list[str]:
    """Returns the command that runs another under Android's folders; see phone_root.sh."""
    return [*namespace(), "sh", *map(str, (HERE / "phone_root.sh", CPUINFO, data_size, *command))]


def run_image(image: Path, *arguments, code: str | None = None) -> subprocess.CompletedProcess:
    """Runs the image's `pocketllm`, or with `code` its Python, under QEMU."""
    launcher, run_code = (image / LAUNCHER).read_text(), '-c "$POCKETLLM_CODE"'
    if code is not None:
        launcher = launcher.replace('-m "${POCKETLLM_MODULE:-pocketllm.runtime.cli}"', run_code)
        assert run_code in launcher
    return subprocess.run(
        on_phone("sh", "-c", launcher, image / LAUNCHER, *arguments),
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"POCKETLLM_EMULATOR": EMULATOR, "POCKETLLM_CODE": code or ""},
    )
