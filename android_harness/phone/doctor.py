"""Checks of what a phone needs to train: adb, processor, Android, storage, memory, the image."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pocketllm.runtime.errors import InputError, RunError

from ..programs import run
from .adb import (
    INSTALL,
    MAKE_ROOM,
    NO_SPACE,
    REMEDIES,
    ConnectionLost,
    Phone,
    check_output,
    find_adb,
    shell,
)
from .devices import NO_DEVICE, READY, choose
from .job import WAKE_LOCK
from .paths import HOME, IMAGE, LAUNCHER, script
from .space import FULL_BYTES, free_bytes
from .tree import MANIFEST

ABI = "arm64-v8a"
IMAGE_BYTES, SMALL_RAM_BYTES = 200_000_000, 2_000_000_000
CLOCK_SECONDS = 24 * 3600
NOT_WRITTEN, NOT_PUSHED = 8, 9  # exit codes of scripts of ours
SHELL = "/system/bin/sh"
# Our folder, or where it will be: a check makes nothing that stays.
NEAREST = 'there=$home; [ -d "$there" ] || there=${home%/*}'
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


def check_adb(flag: str | None) -> tuple[list[Finding], Phone | None]:
    """Checks the adb client, its server and the devices; a failure is a finding too.

    Args:
      flag: the value of --serial, or None.

    Returns:
      The findings, and the phone that the other commands would talk to, if there is one.

    Raises:
      InputError: adb is missing.
    """
    adb, findings = find_adb(), []
    try:
        version = run([adb, "version"], "adb version").splitlines()
        state = f"{version[1] if len(version) > 1 else version[0]}, {adb}"
        findings.append(Finding("adb", True, state))
        choice = choose(adb, flag)
    except (RunError, OSError) as error:
        return [*findings, Finding("adb server", False, str(error), INSTALL)], None
    if clash := MISMATCH.search(choice.messages):
        state = f"a server of version {clash[1]} ran, this client is {clash[2]}; it was replaced"
        remedy = "another adb is installed (Android Studio's?): put one of them alone on the PATH"
        findings.append(Finding("adb server", True, state, remedy))
    for device in choice.devices:
        # A ghost beside the phone that is used is in nobody's way.
        good = device.state == READY or choice.phone is not None
        remedy = "" if device.state == READY else REMEDIES.get(device.state, "plug it in again")
        findings.append(Finding(f"device {device.serial}", good, device.state, remedy))
    if choice.phone is None:
        state, _, remedy = str(choice.trouble).partition("; ")
        if not choice.devices:
            state, remedy = "none", NO_DEVICE
        elif isinstance(choice.trouble, InputError):
            state = f"several: {state}"
        findings.append(Finding("device", False, state, remedy))
    elif len(choice.devices) > 1:
        findings.append(Finding("device", True, f"{choice.phone.serial} is the one that is used"))
    return findings, choice.phone


def check_phone(phone: Phone) -> Iterator[Finding]:
    """Runs all checks on a phone, in the order in which they are shown; none stops the others."""
    for name, check in CHECKS.items():
        try:
            yield check(phone)
        except ConnectionLost as error:
            yield Finding(name, False, str(error), "plug the phone in again, unlock it")
        except (RunError, ValueError) as error:
            state = " ".join(str(error).split())
            yield Finding(
                name, False, f"cannot be checked ({state})", "unlock or restart the phone"
            )


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
    good = free > IMAGE_BYTES
    full = "" if free > FULL_BYTES else ": the phone is full"
    state = f"{free / 1e9:.1f} GB free for {HOME}{full}"
    remedy = f"free at least 0.2 GB, and the bundle; {MAKE_ROOM}, or remove other things there"
    return _finding("storage", good, state, remedy)


def _folder(phone):
    """Checks that files can be made in our folder, or the folder itself; leaves nothing there."""
    probe = (
        NEAREST,
        'probe="$there/.pocketllm-probe-$$"',
        'mkdir "$probe" && echo x >"$probe/file"',
        "code=$?",
        'rm -rf "$probe"',
        "exit $code",
    )
    answer = shell(phone, script(*probe, home=HOME))
    if answer.code == 0:
        return Finding("folder", True, f"{HOME} can be written")
    reason = (answer.output.strip().splitlines() or ["no reason given"])[0]
    if NO_SPACE.search(reason) or free_bytes(phone) <= FULL_BYTES:
        return Finding("folder", False, f"{HOME}: the phone is full", MAKE_ROOM)
    remedy = (
        "adb's user must own it: `adb shell ls -ld /data/local/tmp` shows the owner; remove what "
        "root made there, or start adb's shell as the user it had then"
    )
    return Finding("folder", False, f"{HOME} cannot be written ({reason})", remedy)


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
    """Checks that a program starts from our folder: some phones forbid it; leaves nothing there."""
    lines = (
        NEAREST,
        'probe="$there/.pocketllm-probe-$$"',
        # Android's cp says nothing of a disk that is full.
        'cp "$shell" "$probe" && chmod 700 "$probe"',
        'if [ "$(wc -c <"$probe")" != "$(wc -c <"$shell")" ]; then',
        f'    rm -f "$probe"; exit {NOT_WRITTEN}',
        "fi",
        '"$probe" -c "exit 5"',
        "code=$?",
        'rm -f "$probe"',
        "exit $code",
    )
    answer = shell(phone, script(*lines, home=HOME, shell=SHELL))
    if answer.code == NOT_WRITTEN:
        full = free_bytes(phone) <= FULL_BYTES
        state = f"not tried: {'the phone is full' if full else f'{HOME} cannot be written'}"
        return Finding("programs", True, state, MAKE_ROOM if full else "see folder")
    good = answer.code == 5
    state = f"start from {HOME}" if good else f"cannot be started from {HOME}"
    return _finding("programs", good, state, "this phone's maker forbids it; take another phone")


def _sleep(phone):
    """Checks whether a job can keep the phone awake: the wake lock is root's on most phones."""
    test = f"[ -w {WAKE_LOCK} ] && echo lock; settings get global stay_on_while_plugged_in; true"
    answer = check_output(phone, f"{{ {test}; }} 2>/dev/null", "settings").split()
    if "lock" in answer:
        return Finding("sleep", True, "jobs keep the phone awake until they end")
    if answer and answer[-1].isdecimal() and int(answer[-1]) > 0:
        return Finding("sleep", True, "the phone stays awake while it is plugged in")
    remedy = (
        'keep it plugged in, with "Stay awake" of the developer options (`adb shell svc power '
        "stayon true`; `false` ends it)"
    )
    return Finding("sleep", True, "jobs wait while the phone sleeps: it lends no wake lock", remedy)


def _image(phone):
    start = f'[ -e "$manifest" ] || exit {NOT_PUSHED}; "$launcher" --help >/dev/null'
    code = shell(phone, script(start, manifest=f"{IMAGE}/{MANIFEST}", launcher=LAUNCHER)).code
    state = {0: "runs", NOT_PUSHED: "not pushed yet"}.get(code, "is there and does not run")
    remedy = "`pocketllm device image --out=DIR`, then `pocketllm device push --image=DIR`"
    finding = _note if code == NOT_PUSHED else _finding
    return finding("image", code == 0, state, remedy)


def _property(phone, name):
    return check_output(phone, f"getprop {name}", "getprop").strip()


CHECKS = {
    "processor": _abi,
    "system": _android,
    "clock": _clock,
    "storage": _storage,
    "memory": _memory,
    "tools": _tools,
    "folder": _folder,
    "programs": _programs,
    "image": _image,
    "sleep": _sleep,
}
