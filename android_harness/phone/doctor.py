"""Checks of what a phone needs to train: adb, processor, Android, storage, memory, the image."""

import re
import time
from dataclasses import dataclass

from pocketllm.runtime.errors import RunError

from ..programs import run
from .adb import NO_DEVICE, REMEDIES, Phone, check_output, find_adb, list_devices, shell
from .paths import HOME, IMAGE, LAUNCHER, script
from .transfer import free_bytes
from .tree import MANIFEST

ABI = "arm64-v8a"
IMAGE_BYTES, SMALL_RAM_BYTES = 200_000_000, 2_000_000_000
CLOCK_SECONDS = 24 * 3600
NOT_PUSHED = 9  # exit code of a script of ours
TOOLS = ("grep", "head", "nohup", "setsid", "sha256sum", "stat", "sync", "tail", "tar", "truncate")
MISMATCH = re.compile(r"adb server version \((\d+)\) doesn't match this client \((\d+)\)")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
      name: the thing that was checked.
      good: whether training is possible.
      state: what the check saw, in words.
      remedy: what to do; a good finding with a remedy is a note.
    """

    name: str
    good: bool
    state: str
    remedy: str = ""


def _finding(name, good, state, remedy):
    """Returns the finding of a check that must be good; the remedy only if it is not."""
    return Finding(name, good, state, "" if good else remedy)


def _note(name, good, state, remedy):
    """Returns the finding of a check that training does not depend on; else as `_finding`."""
    return Finding(name, True, state, "" if good else remedy)


def check_adb(serial: str | None) -> tuple[list[Finding], Phone | None]:
    """Checks the adb client, its server and the devices.

    Args:
      serial: serial number of the device to choose; None: the only one.

    Returns:
      The findings, and the phone if exactly one is ready.

    Raises:
      InputError: adb is missing.
    """
    adb = find_adb()
    version = run([adb, "version"], "adb version").splitlines()
    findings = [Finding("adb", True, f"{version[1] if len(version) > 1 else version[0]}, {adb}")]
    devices, messages = list_devices(adb)
    if clash := MISMATCH.search(messages):
        state = f"a server of version {clash[1]} ran, this client is {clash[2]}; it was replaced"
        remedy = "another adb is installed (Android Studio's?): put one of them alone on the PATH"
        findings.append(Finding("adb server", True, state, remedy))
    for device in devices:
        good = device.state == "device"
        remedy = "" if good else REMEDIES.get(device.state, "plug it in again")
        findings.append(Finding(f"device {device.serial}", good, device.state, remedy))
    usable = [d for d in devices if d.state == "device" and serial in (None, d.serial)]
    if not devices:
        findings.append(Finding("device", False, "none", NO_DEVICE))
    elif not usable:
        findings.append(Finding("device", False, f"{serial or 'none of them'} cannot be used"))
    elif len(usable) > 1:
        names = ", ".join(device.serial for device in usable)
        findings.append(Finding("device", False, f"several: {names}", "choose with --serial"))
    return findings, Phone(adb, usable[0].serial) if len(usable) == 1 else None


def check_phone(phone: Phone) -> list[Finding]:
    """Runs all checks on a phone, in the order in which they are shown."""
    checks = (_abi, _android, _clock, _storage, _memory, _tools, _programs, _image)
    return [check(phone) for check in checks]


def check_abi(phone: Phone) -> None:
    """Raises RunError for a phone whose processor cannot run the image."""
    finding = _abi(phone)
    if not finding.good:
        raise RunError(f"{phone.serial}: {finding.state}; {finding.remedy}")


def _abi(phone):
    abis = _property(phone, "ro.product.cpu.abilist") or _property(phone, "ro.product.cpu.abi")
    good = ABI in abis.split(",")
    state = f"ABI {abis or 'unknown'}" + ("" if good else f", expected {ABI}")
    return _finding("processor", good, state, "take a phone with 64-bit ARM Android")


def _android(phone):
    names = ("ro.product.model", "ro.build.version.release", "ro.build.version.sdk")
    model, release, level = (_property(phone, name) for name in names)
    good = level.isdigit() and int(level) >= 26
    state = f"{model or 'unnamed'}, Android {release or 'unknown'} (API level {level or 'unknown'})"
    return _finding("system", good, state, "Android 8 or newer has the tools that are needed")


def _clock(phone):
    seconds = int(check_output(phone, "date +%s", "date")) - time.time()
    days = f"{abs(seconds) / 86400:.1f} days"
    state = f"{days} {'behind' if seconds < 0 else 'ahead of'} this computer's"
    good = abs(seconds) < CLOCK_SECONDS
    remedy = "set it: nothing depends on it but the times of files and logs"
    return _note("clock", good, "right" if good else state, remedy)


def _storage(phone):
    free = free_bytes(phone)
    state = f"{free / 1e9:.1f} GB free for {HOME}"
    return _finding("storage", free > IMAGE_BYTES, state, "free at least 0.2 GB, and the bundle")


def _memory(phone):
    lines = check_output(phone, "cat /proc/meminfo", "/proc/meminfo")
    kilobytes = {name: int(kb) for name, kb in re.findall(r"^(\w+): +(\d+) kB", lines, re.M)}
    total = kilobytes.get("MemTotal", 0) * 1024
    available = kilobytes.get("MemAvailable", 0) * 1024
    state = f"{available / 1e9:.1f} GB of {total / 1e9:.1f} GB available"
    remedy = "take a small model, or a frozen base"
    return _note("memory", total >= SMALL_RAM_BYTES, state, remedy)


def _tools(phone):
    lookup = f"for tool in {' '.join(TOOLS)}; do command -v $tool >/dev/null || echo $tool; done"
    missing = check_output(phone, lookup, "tools").split()
    state = f"without {', '.join(missing)}" if missing else "all there"
    return _finding("tools", not missing, state, "Android 8 or newer has them")


def _programs(phone):
    """Checks that a program starts from our folder: some phones forbid it."""
    start = 'mkdir -p "$home" && cp /system/bin/sh "$home/.probe" && "$home/.probe" -c "exit 5"'
    lines = (start, "code=$?", 'rm -f "$home/.probe"', "exit $code")
    good = shell(phone, script(*lines, home=HOME)).code == 5
    state = f"start from {HOME}" if good else f"cannot be started from {HOME}"
    return _finding("programs", good, state, "this phone's maker forbids it; take another phone")


def _image(phone):
    start = f'[ -e "$manifest" ] || exit {NOT_PUSHED}; "$launcher" --help >/dev/null'
    code = shell(phone, script(start, manifest=f"{IMAGE}/{MANIFEST}", launcher=LAUNCHER)).code
    state = {0: "runs", NOT_PUSHED: "not pushed yet"}.get(code, "is there and does not run")
    remedy = "`pocketllm device image --out=DIR`, then `pocketllm device push --image=DIR`"
    finding = _note if code == NOT_PUSHED else _finding
    return finding("image", code == 0, state, remedy)


def _property(phone, name):
    return check_output(phone, f"getprop {name}", "getprop").strip()
