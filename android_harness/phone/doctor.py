"""What a phone needs before it can train, looked at one by one."""

import re
import time
from dataclasses import dataclass

from pocketllm.runtime.errors import RunError

from ..programs import run
from .adb import NO_DEVICE, REMEDIES, Phone, checked, find_adb, list_devices, shell
from .paths import HOME, IMAGE, LAUNCHER, script
from .transfer import free_bytes
from .tree import MANIFEST

ABI = "arm64-v8a"
IMAGE_BYTES, SMALL_RAM_BYTES = 200_000_000, 2_000_000_000
CLOCK_SECONDS = 24 * 3600
TOOLS = ("grep", "head", "nohup", "setsid", "sha256sum", "stat", "sync", "tail", "tar", "truncate")
MISMATCH = re.compile(r"adb server version \((\d+)\) doesn't match this client \((\d+)\)")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether one can go on, what was found, what better to do."""

    name: str
    good: bool
    found: str
    remedy: str = ""


def _finding(name, good, found, remedy, matters=True):
    """Returns a Finding; one that does not matter has its remedy as a note."""
    return Finding(name, good or not matters, found, "" if good else remedy)


def look_at_adb(serial: str | None) -> tuple[list[Finding], Phone | None]:
    """Looks at the client, its server and the devices; returns the one that can be used, if any.

    Raises:
      InputError: adb is missing.
    """
    adb = find_adb()
    version = run([adb, "version"], "adb version").splitlines()
    findings = [Finding("adb", True, f"{version[1] if len(version) > 1 else version[0]}, {adb}")]
    devices, said = list_devices(adb)
    if clash := MISMATCH.search(said):
        found = f"a server of version {clash[1]} ran, this client is {clash[2]}; it was replaced"
        remedy = "another adb is installed (Android Studio's?): put one of them alone on the PATH"
        findings.append(Finding("adb server", True, found, remedy))
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


def look_at_phone(phone: Phone) -> list[Finding]:
    """Looks at what the phone is, has free, and lets us run."""
    looks = (_abi, _android, _clock, _storage, _memory, _tools, _programs, _image)
    return [look(phone) for look in looks]


def check_abi(phone: Phone) -> None:
    """Raises RunError for a phone that cannot run the image."""
    finding = _abi(phone)
    if not finding.good:
        raise RunError(f"{phone.serial}: {finding.found}; {finding.remedy}")


def _abi(phone):
    abis = _property(phone, "ro.product.cpu.abilist") or _property(phone, "ro.product.cpu.abi")
    good = ABI in abis.split(",")
    found = f"ABI {abis or 'unknown'}" + ("" if good else f", expected {ABI}")
    return _finding("processor", good, found, "take a phone with 64-bit ARM Android")


def _android(phone):
    names = ("ro.product.model", "ro.build.version.release", "ro.build.version.sdk")
    model, release, level = (_property(phone, name) for name in names)
    good = level.isdigit() and int(level) >= 26
    found = f"{model or 'unnamed'}, Android {release or 'unknown'} (API level {level or 'unknown'})"
    return _finding("system", good, found, "Android 8 or newer has the tools that are needed")


def _clock(phone):
    off = int(checked(phone, "date +%s", "date")) - time.time()
    days = f"{abs(off) / 86400:.1f} days {'behind' if off < 0 else 'ahead of'} this computer's"
    good = abs(off) < CLOCK_SECONDS
    remedy = "set it: nothing depends on it but the times of files and logs"
    return _finding("clock", good, "right" if good else days, remedy, matters=False)


def _storage(phone):
    free = free_bytes(phone)
    found = f"{free / 1e9:.1f} GB free for {HOME}"
    return _finding("storage", free > IMAGE_BYTES, found, "free at least 0.2 GB, and the bundle")


def _memory(phone):
    lines = checked(phone, "cat /proc/meminfo", "/proc/meminfo")
    kilobytes = {n: int(k) for n, k in re.findall(r"^(\w+): +(\d+) kB", lines, re.M)}
    total = kilobytes.get("MemTotal", 0) * 1024
    available = kilobytes.get("MemAvailable", 0) * 1024
    found = f"{available / 1e9:.1f} GB of {total / 1e9:.1f} GB available"
    remedy = "take a small model, or a frozen base"
    return _finding("memory", total >= SMALL_RAM_BYTES, found, remedy, matters=False)


def _tools(phone):
    asked = f"for tool in {' '.join(TOOLS)}; do command -v $tool >/dev/null || echo $tool; done"
    missing = checked(phone, asked, "tools").split()
    found = f"without {', '.join(missing)}" if missing else "all there"
    return _finding("tools", not missing, found, "Android 8 or newer has them")


def _programs(phone):
    """Whether a program starts from our folder: some phones forbid it."""
    copied = 'mkdir -p "$home" && cp /system/bin/sh "$home/.probe" && "$home/.probe" -c "exit 5"'
    lines = (f"{copied}", "code=$?", 'rm -f "$home/.probe"', "exit $code")
    good = shell(phone, script(*lines, home=HOME)).code == 5
    found = f"start from {HOME}" if good else f"cannot be started from {HOME}"
    return _finding("programs", good, found, "this phone's maker forbids it; take another phone")


def _image(phone):
    there = '[ -e "$manifest" ] || exit 9; "$launcher" --help >/dev/null'
    code = shell(phone, script(there, manifest=f"{IMAGE}/{MANIFEST}", launcher=LAUNCHER)).code
    found = {0: "runs", 9: "not pushed yet"}.get(code, "is there and does not run")
    remedy = "`pocketllm device image --out=DIR`, then `pocketllm device push --image=DIR`"
    return _finding("image", code == 0, found, remedy, matters=code != 9)


def _property(phone, name):
    return checked(phone, f"getprop {name}", "getprop").strip()
