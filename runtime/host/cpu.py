"""The machine that a measurement or a run uses: processor, cores, memory, system, versions."""

import ctypes
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from .. import contract

AT_HWCAP, AT_HWCAP2 = 16, 26  # of getauxval
PACKAGES = ("pocketllm", *contract.ENGINES.values(), "numpy", "tokenizers")


def cores() -> int:
    """Returns the number of cores that this process may use: the default for `threads`."""
    return len(os.sched_getaffinity(0))


def processor() -> str:
    """Returns the name of this machine's processor."""
    return cpu_name(_read("/proc/cpuinfo"))


def cpu_name(cpuinfo: str) -> str:
    """Returns the processor's name out of /proc/cpuinfo; ARM kernels may give only part numbers."""
    pairs = [line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line]
    names = {name.strip(): value.strip() for name, value in pairs}
    parts = sorted({value.strip() for name, value in pairs if name.strip() == "CPU part"})
    known = names.get("model name") or names.get("Hardware") or platform.processor()
    cpu = known or platform.machine()
    return f"{cpu} (CPU parts {', '.join(parts)})" if parts else cpu


def instructions() -> str:
    """Returns what decides which kernels a library chooses, beside the processor's name.

    The architecture (of the emulated processor, where one is), the flags of /proc/cpuinfo and the
    capabilities that the kernel gives to every process.
    """
    flags = cpu_flags(_read("/proc/cpuinfo"))
    capabilities = [f"{_capabilities(kind):x}" for kind in (AT_HWCAP, AT_HWCAP2)]
    return " ".join([platform.machine(), *capabilities, *flags])


def cpu_flags(cpuinfo: str) -> list[str]:
    """Returns the flags in /proc/cpuinfo, sorted; ARM kernels call them features."""
    pairs = [line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line]
    lists = [value.split() for name, value in pairs if name.strip() in ("flags", "Features")]
    return sorted({flag for flags in lists for flag in flags})


def describe_machine(packages: Sequence[str] = PACKAGES) -> dict:
    """Returns `cpu`, `cores`, `memory_bytes`, `system` and `versions`, those of `packages`."""
    versions = {"python": platform.python_version()}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "cpu": processor(),
        "cores": cores(),
        "memory_bytes": _memory_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions,
    }


def _capabilities(kind):
    try:
        get = ctypes.CDLL(None).getauxval
    except (AttributeError, OSError):
        return 0
    get.restype, get.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return get(kind)


def _memory_bytes():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0


def _read(path):
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
