"""What a measurement or a run ran on: processor, cores, memory, system, versions.

A run keeps it in `machine.json`, not in `config.json`: another machine may continue the run.
"""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

from ..engine.interpreter import cores
from ..engine.model import Model
from ..errors import InputError
from ..host.files import read_json, write_json
from .lines import typed

MACHINE = "machine.json"
PACKAGES = ("pocketllm", "ai-edge-litert", "tflite-runtime", "numpy", "tokenizers")


@dataclass(frozen=True)
class Session:
    """What made a run's steps, from `first_step` to the next session's.

    Attributes:
      first_step: 1 for the beginning of the run.
      model: preset or checkpoint folder that the bundle was exported from.
      task: the bundle's task.
      engine: interpreter, its version, threads and delegate.
      cpu: the processor's name.
      cores: those that the process may use.
      memory_bytes: of the whole machine, 0 where that is unknown.
      system: kernel and architecture.
      versions: package -> version, Python's among them.
    """

    first_step: int
    model: str
    task: str
    engine: str
    cpu: str
    cores: int
    memory_bytes: int
    system: str
    versions: dict


def describe_machine(packages: Sequence[str] = PACKAGES) -> dict:
    """Returns `cpu`, `cores`, `memory_bytes`, `system` and `versions`, those of `packages`."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return {
        "cpu": processor(),
        "cores": cores(),
        "memory_bytes": _memory_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions,
    }


def processor() -> str:
    """Returns this machine's processor's name."""
    return cpu_name(_read("/proc/cpuinfo"))


def cpu_name(cpuinfo: str) -> str:
    """Returns the processor's name out of /proc/cpuinfo; ARM kernels may give only part numbers."""
    pairs = [line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line]
    names = {name.strip(): value.strip() for name, value in pairs}
    parts = sorted({value.strip() for name, value in pairs if name.strip() == "CPU part"})
    known = names.get("model name") or names.get("Hardware") or platform.processor()
    cpu = known or platform.machine()
    return f"{cpu} (CPU parts {', '.join(parts)})" if parts else cpu


def record_session(folder: Path, first_step: int, model: Model) -> None:
    """Writes to a run's `machine.json` that this machine makes its steps from `first_step` on."""
    session = Session(
        first_step,
        model.bundle.model_name,
        model.bundle.task.name,
        model.engine.describe(),
        **describe_machine(),
    )
    held = read_sessions(folder)
    # What was announced for these steps before never made one.
    sessions = [one for one in held if one.first_step < first_step]
    if not sessions or replace(sessions[-1], first_step=first_step) != session:
        sessions.append(session)
    if sessions != held:
        write_json(Path(folder) / MACHINE, {"sessions": [asdict(one) for one in sessions]})


def read_sessions(folder: Path) -> list[Session]:
    """Reads a run's `machine.json`, in order of steps; empty where there is none.

    Raises:
      InputError: damaged.
    """
    path = Path(folder) / MACHINE
    if not path.exists():
        return []
    held = read_json(path, "remove the file: only reports need it").get("sessions")
    try:
        if not isinstance(held, list):
            raise ValueError(f"sessions is {held!r}, expected a list")
        return [typed(Session, record) for record in held]
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); remove it, only reports need it") from error


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
