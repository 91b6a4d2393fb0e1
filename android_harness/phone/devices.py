"""The devices that adb knows, and which of them a command talks to: as adb itself chooses.

--serial goes before ANDROID_SERIAL; without either it is the only device that is ready. Entries
that are not ready (offline ghosts, unauthorized phones) are in nobody's way.
"""

import os
import time
from dataclasses import dataclass

from pocketllm.runtime.errors import InputError, RunError

from .adb import REMEDIES, Phone, find_adb, last_line, run_adb, shell

VARIABLE = "ANDROID_SERIAL"
DOCTOR = "`pocketllm device doctor` says more"
NO_DEVICE = "switch on USB debugging in the phone's developer options and plug it in"
CHOOSE = f"choose one with --serial or {VARIABLE}"
READY = "device"
# States that a device passes through, for a moment after adb's server has started.
PASSING = ("offline", "authorizing", "connecting")
STARTED = "daemon started"
SETTLE_SECONDS, LOOK_SECONDS = 3.0, 0.3
# What `adb -s` takes besides a serial number.
QUALIFIERS = ("usb:", "product:", "model:", "device:", "tcp:")


@dataclass(frozen=True)
class Device:
    """A line of `adb devices`: the serial number and the state (READY or another)."""

    serial: str
    state: str


@dataclass(frozen=True)
class Choice:
    """The devices, and the phone that was chosen or the reason why none was.

    Attributes:
      devices: as adb lists them.
      messages: adb's own, on stderr.
      phone: the phone, or None.
      trouble: the exception to raise where `phone` is None.
    """

    devices: list[Device]
    messages: str
    phone: Phone | None = None
    trouble: InputError | RunError | None = None


def list_devices(adb: str) -> tuple[list[Device], str]:
    """Returns (the devices that adb knows, adb's own messages on stderr).

    Raises:
      RunError: adb's server cannot be reached.
    """
    done = run_adb([adb, "devices"])
    if done.returncode:
        raise RunError(f"adb devices: {last_line(done)}; `adb start-server` says more")
    devices = []
    for line in done.stdout.decode(errors="replace").splitlines():
        serial, tab, state = line.partition("\t")
        if tab:
            state = "no permissions" if state.startswith("no permissions") else state.strip()
            devices.append(Device(serial, state))
    return devices, done.stderr.decode(errors="replace")


def wanted_serial(flag: str | None) -> tuple[str | None, str]:
    """Returns (the serial number that the user named or None, where: the flag or the variable)."""
    if flag:
        return flag, "--serial"
    return os.environ.get(VARIABLE) or None, VARIABLE


def choose(adb: str, flag: str | None) -> Choice:
    """Chooses a device; looks again for a moment where one may still become ready.

    Args:
      adb: path of the adb client.
      flag: the value of --serial, or None.

    Raises:
      RunError: adb's server cannot be reached.
    """
    wanted, source = wanted_serial(flag)
    end = time.monotonic() + SETTLE_SECONDS
    messages = ""
    while True:
        devices, more = list_devices(adb)
        messages += more
        listed = [device for device in devices if wanted in (None, device.serial)]
        ready = [device for device in listed if device.state == READY]
        may_come = any(device.state in PASSING for device in listed) or (
            STARTED in messages and not listed
        )
        if ready or not may_come or time.monotonic() > end:
            break
        time.sleep(LOOK_SECONDS)
    try:
        phone = _of_name(adb, devices, wanted, source) if wanted else _only(adb, devices)
        return Choice(devices, messages, phone)
    except (InputError, RunError) as error:
        return Choice(devices, messages, trouble=error)


def find_phone(flag: str | None) -> Phone:
    """Returns the device of --serial or ANDROID_SERIAL, or the only one that is ready.

    Raises:
      InputError: adb is missing, or several devices are ready and none was named.
      RunError: no such device, or it is not ready.
    """
    choice = choose(find_adb(), flag)
    if choice.trouble:
        raise choice.trouble
    assert choice.phone is not None
    return choice.phone


def _of_name(adb, devices, wanted, source):
    listed = [device for device in devices if device.serial == wanted]
    ready = [device for device in listed if device.state == READY]
    if len(ready) > 1:
        raise InputError(
            f"{source}={wanted}: {len(ready)} devices have this serial number; name one by its "
            "port, --serial=usb:… as `adb devices -l` prints it"
        )
    if ready:
        return Phone(adb, wanted)
    if listed:
        raise RunError(f"{source}={wanted}: {_not_ready(listed[0])}")
    if wanted.startswith(QUALIFIERS) or any(d.serial.startswith(f"{wanted}:") for d in devices):
        done = run_adb([adb, "-s", wanted, "get-state"])
        if done.returncode == 0 and done.stdout.strip() == READY.encode():
            return Phone(adb, wanted)
        raise RunError(
            f"{source}={wanted}: {last_line(done)}; `adb devices -l` lists what there is"
        )
    names = ", ".join(device.serial for device in devices) or "none"
    raise RunError(f"no device {wanted} ({source}; found: {names}); {NO_DEVICE}; {DOCTOR}")


def _only(adb, devices):
    ready = [device for device in devices if device.state == READY]
    if len(ready) > 1:
        phones = [Phone(adb, device.serial) for device in ready]
        names = ", ".join(phone.serial for phone in phones)
        if not _are_same(phones):
            raise InputError(f"{len(phones)} devices ({names}); {CHOOSE}")
        # The cable goes before the air: it is faster, and does not go away in sleep.
        return min(phones, key=lambda phone: ":" in phone.serial or "._adb" in phone.serial)
    if ready:
        return Phone(adb, ready[0].serial)
    if not devices:
        raise RunError(f"no device; {NO_DEVICE}; {DOCTOR}")
    raise RunError(", ".join(f"{d.serial}: {_not_ready(d)}" for d in devices))


def _not_ready(device):
    return f"the device is {device.state}; {REMEDIES.get(device.state, DOCTOR)}"


def _are_same(phones):
    """Returns whether all are one phone, listed by cable and by air."""
    names = set()
    for phone in phones:
        try:
            names.add(shell(phone, "getprop ro.serialno").output.strip())
        except RunError:
            return False
    return len(names) == 1 and names != {""}
