"""Devices with the stand-in image on them: everything but the aarch64 programs, at once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import Loopback
from small_runs import pocketllm

from pocketllm.android_harness.phone.paths import HOME, IMAGE

BUNDLE = "tiny"
STAND_IN = Path(__file__).with_name("phone_image")


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


def wait_for_line(process: subprocess.Popen, text: str, stream: str = "stdout") -> str:
    """Reads what a process prints until a line holds the text; returns all that was read."""
    output = ""
    for line in getattr(process, stream):
        output += line
        if text in line:
            return output
    raise AssertionError(f"{text!r} never came: {output}{process.stderr.read()}")


def let_end(phone: Loopback, code: int = 0) -> None:
    """Lets the stand-in end, at once, with this exit code."""
    phone.sh(f"umask 077; echo {code} > {IMAGE}/code; touch {IMAGE}/enough")


def let_run(phone: Loopback) -> None:
    """Lets the stand-in take steps until it is stopped."""
    phone.sh(f"rm -f {IMAGE}/enough {IMAGE}/code")


def fill(phone: Loopback) -> None:
    """Leaves no byte free on the device."""
    phone.sh("cat /dev/zero > /data/filler 2>/dev/null")


def train_command(data: Path, run: str = "a run's name", *more: str) -> list[str]:
    """Returns the arguments of a training of `device`."""
    return ["train", f"--bundle=x/{BUNDLE}", f"--run={run}", "--steps=9", f"--train={data}", *more]


def run_training(phone: Loopback, *arguments) -> subprocess.CompletedProcess:
    """Runs what `train_command` says."""
    return device(phone, *train_command(*arguments))


def start_training(phone: Loopback, *arguments) -> subprocess.Popen:
    """Starts what `train_command` says; returns when two steps have been printed here."""
    process = start_device(phone, *train_command(*arguments))
    wait_for_line(process, "step 2 ")
    return process


def of_devices(*features: str):
    """A test of devices with these features of adbd."""
    names = ["shell v2" if "shell_v2" in feature else "shell v1" for feature in features]
    return pytest.mark.parametrize("phone", features, ids=names, indirect=True, scope="module")


new_device, new_and_old_device = of_devices("shell_v2,cmd"), of_devices("shell_v2,cmd", "cmd")


def files_on(phone: Loopback, folder: str = HOME) -> list[str]:
    """Lists the files of a folder on the device."""
    return sorted(phone.sh(f'cd "{folder}" && find . -type f').splitlines())
