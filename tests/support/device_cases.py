"""Devices with the stand-in image on them: everything but the aarch64 programs, at once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from loopback import Loopback
from small_runs import pocketllm

from pocketllm.android_harness.phone.paths import HOME, IMAGE

STAND_IN = Path(__file__).parent / "phone" / "phone_image"


def stand_in_image(folder: Path) -> Path:
    """Makes a device image of the stand-in launcher."""
    shutil.copytree(STAND_IN, folder)
    (folder / "image.lock.json").write_text('{"format": 1, "packages": []}\n')
    return folder


def device(phone: Loopback, *arguments, **environment) -> subprocess.CompletedProcess:
    """Runs `pocketllm device arguments…` where it sees this device."""
    return pocketllm("device", *arguments, **(phone.environment | environment))


def start_device(phone: Loopback, *arguments) -> subprocess.Popen:
    """Starts `pocketllm device arguments…`; its outputs are pipes of text."""
    return subprocess.Popen(
        [sys.executable, "-m", "pocketllm.runtime.cli", "device", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | phone.environment,
    )


def wait_for_line(process: subprocess.Popen, text: str) -> None:
    """Reads what a process prints until a line holds the text."""
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"{text!r} never came: {process.stderr.read()}")


def let_end(phone: Loopback, code: int = 0) -> None:
    """Lets the stand-in end, at once, with this exit code."""
    phone.sh(f"echo {code} > {IMAGE}/code; touch {IMAGE}/enough")


def let_run(phone: Loopback) -> None:
    """Lets the stand-in take steps until it is stopped."""
    phone.sh(f"rm -f {IMAGE}/enough {IMAGE}/code")


def files_on(phone: Loopback, folder: str = HOME) -> list[str]:
    """Lists the files of a folder on the device."""
    return sorted(phone.sh(f'cd "{folder}" && find . -type f').splitlines())
