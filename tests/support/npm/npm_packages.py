"""Packages of npm in the project's cache: a folder a tool, filled where it is asked for."""

import json
import shutil
import subprocess
from pathlib import Path

from pocketllm.runtime.host.folders import cache_folder


class Missing(Exception):
    """It is not here and cannot be installed; says why, in one line."""


def modules(tool: str) -> Path:
    """Returns the folder of a tool's packages, which NODE_PATH may name."""
    return cache_folder(tool) / "node_modules"


def is_installed(tool: str, package: str, version: str) -> bool:
    """Whether a package lies in the cache, in the version that the tests ran with."""
    path = modules(tool) / package / "package.json"
    return path.is_file() and json.loads(path.read_text())["version"] == version


def needed(tool: str, package: str, version: str, target: str) -> Path:
    """Returns the folder of a tool's packages; without this one, which no test installs, skips.

    `target` is the Makefile's that installs it.
    """
    import pytest

    folder = modules(tool)
    if not shutil.which("node"):
        pytest.skip(f"node is not installed: `make {target}` needs it")
    if not is_installed(tool, package, version):
        pytest.skip(f"{package} {version} is not in {folder}: `make {target}` installs it")
    return folder


def install(tool: str, *packages: str) -> None:
    """Installs packages, each with its version; raises Missing where that cannot be."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise Missing("node and npm are not installed")
    folder = modules(tool).parent
    folder.mkdir(parents=True, exist_ok=True)
    run(
        "npm", "install", f"--prefix={folder}", "--omit=optional", "--ignore-scripts", "--no-audit",
        "--no-fund", *packages,
    )  # fmt: skip


def run(*command: str) -> str:
    """Runs a command; returns what it printed, or raises Missing with its first complaint."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if line.strip()), "it said nothing")
        raise Missing(f"{command[0]} did not end well ({why})")
    return done.stdout.strip()
