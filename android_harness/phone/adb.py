"""The adb client: which phone, a shell script on it, one file there or back.

An exit code comes through a line of our own behind the script's output, so that it arrives from
devices without shell protocol v2 too; there stdout and stderr are one, and so they are here.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from pocketllm.runtime.errors import InputError, RunError

from ..programs import need

INSTALL = "install Android's platform tools (Debian and Ubuntu: the package adb)"
END = "pocketllm-exit-code:"
DOCTOR = "`pocketllm device doctor` says more"
# state of a device, as adb spells it -> what to do
REMEDIES = {
    "unauthorized": "unlock the phone and allow USB debugging from this computer",
    "authorizing": "unlock the phone and allow USB debugging from this computer",
    "offline": "unplug the phone and plug it in again, or switch USB debugging off and on",
    "no permissions": "install android-sdk-platform-tools-common (udev rules), plug in again",
    "bootloader": "start Android on the phone",
    "recovery": "start Android on the phone",
    "sideload": "start Android on the phone",
}
NO_DEVICE = "switch on USB debugging in the phone's developer options and plug it in"


class ConnectionLost(RunError):
    """The phone, or the way to it, is gone; what runs there may go on."""


@dataclass(frozen=True)
class Device:
    """A line of `adb devices`: the serial number and the state, "device" for a usable one."""

    serial: str
    state: str


@dataclass(frozen=True)
class Phone:
    """A device that can be used, through this adb program."""

    adb: str
    serial: str


@dataclass(frozen=True)
class Answer:
    """A script's exit code and what it printed, on stdout and stderr."""

    code: int
    output: str


def find_adb() -> str:
    """Returns the adb client's path; raises InputError where there is none."""
    return need("adb", INSTALL)


def list_devices(adb: str) -> tuple[list[Device], str]:
    """Returns (the devices that adb knows, what it said besides).

    Raises:
      RunError: its server cannot be reached.
    """
    done = _run([adb, "devices"])
    if done.returncode:
        raise RunError(f"adb devices: {_last_line(done)}; {DOCTOR}")
    found = []
    for line in done.stdout.decode(errors="replace").splitlines()[1:]:
        serial, _, state = line.partition("\t")
        if state:
            state = "no permissions" if state.startswith("no permissions") else state.strip()
            found.append(Device(serial, state))
    return found, done.stderr.decode(errors="replace")


def find_phone(serial: str | None) -> Phone:
    """Chooses the device to talk to.

    Args:
      serial: its serial number; none: the only one there is.

    Raises:
      InputError: adb is missing, or several devices are there and none was chosen.
      RunError: no such device, or one that does not talk to us yet.
    """
    adb = find_adb()
    devices, _ = list_devices(adb)
    names = ", ".join(device.serial for device in devices)
    if serial is None and len(devices) > 1:
        raise InputError(f"{len(devices)} devices ({names}); choose one with --serial")
    chosen = [device for device in devices if serial in (None, device.serial)]
    if not chosen:
        there = f"no device {serial} (found: {names or 'none'})" if serial else "no device"
        raise RunError(f"{there}; {NO_DEVICE}; {DOCTOR}")
    device = chosen[0]
    if device.state != "device":
        remedy = REMEDIES.get(device.state, DOCTOR)
        raise RunError(f"{device.serial}: the device is {device.state}; {remedy}")
    return Phone(adb, device.serial)


def shell(phone: Phone, script: str) -> Answer:
    """Runs a script in the phone's shell, its input empty; what is no UTF-8 comes as surrogates.

    Args:
      phone: to run it on.
      script: what varies in it is quoted by the caller (shlex.quote).

    Raises:
      ConnectionLost: the end of it did not come through.
    """
    # A subshell: an `exit` in the script must not take our line with it.
    asked = f"(\n{script}\n) </dev/null 2>&1; code=$?; echo; echo {END}$code"
    done = _run([phone.adb, "-s", phone.serial, "shell", asked])
    # Without protocol v2 a terminal stands between, which ends lines its own way.
    output = done.stdout.replace(b"\r\n", b"\n").decode(errors="surrogateescape")
    before, found, code = output.rpartition(f"\n{END}")
    if not found or not code.strip().isdigit():
        raise ConnectionLost(f"{phone.serial}: the connection was lost ({_last_line(done)})")
    return Answer(int(code), before)


def checked(phone: Phone, script: str, trouble: str) -> str:
    """Runs a script that should succeed; returns what it printed.

    Raises:
      RunError: it did not; the message is `trouble` and the script's last line.
    """
    answer = shell(phone, script)
    if answer.code:
        said = answer.output.strip().splitlines()
        raise RunError(f"{trouble}: {said[-1] if said else f'exit code {answer.code}'}")
    return answer.output


def is_there(phone: Phone, path: str, test: str = "-e") -> bool:
    """Returns whether a path passes a test of the shell's: "-e" it exists, "-r" it can be read."""
    return "yes" in checked(phone, f"[ {test} {quote(path)} ] && echo yes; true", path)


def send_file(phone: Phone, path: Path, there: str) -> None:
    """Copies one file to the phone; errors are those of `_transfer`."""
    _transfer(phone, ["push", str(path), there], there)


def fetch_file(phone: Phone, there: str, path: Path) -> None:
    """Copies one file from the phone; errors are those of `_transfer`."""
    _transfer(phone, ["pull", there, str(path)], there)


def _transfer(phone, command, there):
    """Raises ConnectionLost if the phone is gone, and RunError for all that it refuses."""
    done = _run([phone.adb, "-s", phone.serial, *command])
    if done.returncode == 0:
        return
    if shell(phone, "true").code == 0:  # raises ConnectionLost if that is why
        raise RunError(f"{there}: {_last_line(done)}")


def _run(command):
    # In a session of its own: Ctrl-C is for us, who then ask the phone to stop.
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        env=os.environ | {"LC_ALL": "C"},
    )


def _last_line(done):
    said = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace").splitlines()
    return said[-1].removeprefix("adb: ").removeprefix("error: ") if said else "no answer"
