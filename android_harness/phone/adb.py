"""The adb client: chooses a phone, runs a shell script on it, copies one file to or from it.

Devices without shell protocol v2 return no exit code and mix stdout with stderr. So every script
prints its exit code on a last line of our own, and both outputs are one on every device.
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
# state of a device, as adb spells it -> remedy
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
    """The connection to the phone is lost; jobs on the phone may go on."""


@dataclass(frozen=True)
class Device:
    """A line of `adb devices`: the serial number and the state ("device": ready)."""

    serial: str
    state: str


@dataclass(frozen=True)
class Phone:
    """A device that is ready, and the path of the adb program that reaches it."""

    adb: str
    serial: str


@dataclass(frozen=True)
class Answer:
    """A script's exit code and output, stdout and stderr together."""

    code: int
    output: str


def find_adb() -> str:
    """Returns the adb client's path; raises InputError where there is none."""
    return need("adb", INSTALL)


def list_devices(adb: str) -> tuple[list[Device], str]:
    """Returns (the devices that adb knows, adb's own messages on stderr).

    Raises:
      RunError: adb's server cannot be reached.
    """
    done = _run([adb, "devices"])
    if done.returncode:
        raise RunError(f"adb devices: {_last_line(done)}; {DOCTOR}")
    devices = []
    for line in done.stdout.decode(errors="replace").splitlines()[1:]:
        serial, _, state = line.partition("\t")
        if state:
            state = "no permissions" if state.startswith("no permissions") else state.strip()
            devices.append(Device(serial, state))
    return devices, done.stderr.decode(errors="replace")


def find_phone(serial: str | None) -> Phone:
    """Returns the device of a serial number, or the only device.

    Args:
      serial: the serial number; None: the only device.

    Raises:
      InputError: adb is missing, or several devices are connected and `serial` is None.
      RunError: no such device, or its state is not "device".
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
    """Runs a script in the phone's shell, with empty input; bytes that are not UTF-8 are escaped.

    Args:
      phone: the phone to run it on.
      script: POSIX shell; the caller quotes every value in it (shlex.quote).

    Raises:
      ConnectionLost: the line with the exit code did not arrive.
    """
    # A subshell: an `exit` in the script must not skip the exit code's line.
    wrapped = f"(\n{script}\n) </dev/null 2>&1; code=$?; echo; echo {END}$code"
    done = _run([phone.adb, "-s", phone.serial, "shell", wrapped])
    # Without protocol v2 the output passes a terminal, which turns \n into \r\n.
    text = done.stdout.replace(b"\r\n", b"\n").decode(errors="surrogateescape")
    output, marker, code = text.rpartition(f"\n{END}")
    if not marker or not code.strip().isdigit():
        raise ConnectionLost(f"{phone.serial}: the connection was lost ({_last_line(done)})")
    return Answer(int(code), output)


def check_output(phone: Phone, script: str, trouble: str) -> str:
    """Runs a script that must succeed; returns its output.

    Raises:
      RunError: the exit code is not 0; the message is `trouble` and the script's last line.
    """
    answer = shell(phone, script)
    if answer.code:
        lines = answer.output.strip().splitlines()
        raise RunError(f"{trouble}: {lines[-1] if lines else f'exit code {answer.code}'}")
    return answer.output


def is_there(phone: Phone, path: str, test: str = "-e") -> bool:
    """Returns whether a path passes a test of the shell's: "-e" it exists, "-r" it is readable."""
    return "yes" in check_output(phone, f"[ {test} {quote(path)} ] && echo yes; true", path)


def send_file(phone: Phone, path: Path, remote: str) -> None:
    """Copies one file to the phone; for errors see `_transfer`."""
    _transfer(phone, ["push", str(path), remote], remote)


def fetch_file(phone: Phone, remote: str, path: Path) -> None:
    """Copies one file from the phone; for errors see `_transfer`."""
    _transfer(phone, ["pull", remote, str(path)], remote)


def _transfer(phone, command, remote):
    """Runs `adb push` or `adb pull`.

    Raises:
      ConnectionLost: the phone no longer answers.
      RunError: the phone answers, and refused the copy.
    """
    done = _run([phone.adb, "-s", phone.serial, *command])
    if done.returncode == 0:
        return
    if shell(phone, "true").code == 0:  # raises ConnectionLost if the phone is gone
        raise RunError(f"{remote}: {_last_line(done)}")


def _run(command):
    # A session of its own: Ctrl-C goes to us alone, and we ask the phone to stop.
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        env=os.environ | {"LC_ALL": "C"},
    )


def _last_line(done):
    lines = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace").splitlines()
    return lines[-1].removeprefix("adb: ").removeprefix("error: ") if lines else "no answer"
