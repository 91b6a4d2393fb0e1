"""What a measurement ran on: processor, cores, versions."""

import platform
from importlib import metadata, util

from pocketllm.runtime.engine import cores

PACKAGES = ("ai-edge-litert", "tflite-runtime", "numpy", "torch", "transformers", "tensorflow")


def is_installed(module: str) -> bool:
    """Says whether a module's top package can be found, without importing it."""
    return util.find_spec(module.split(".")[0]) is not None


def describe_machine() -> dict:
    """Returns the processor's name, its cores, the system and the versions of what is measured."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions,
    }


def _cpu_name():
    try:
        with open("/proc/cpuinfo") as file:
            values = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        values = {}
    names = {name.strip(): value.strip() for name, value in values.items()}
    return names.get("model name") or platform.processor() or platform.machine()
