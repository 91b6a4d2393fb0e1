"""llama.cpp, built for Node: the npm package @fugood/llama.node.

`python tests/support/exports/llama_node.py` installs it into the cache, unless it is there, and
prints the folder that NODE_PATH names.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE, VERSION = "@fugood/llama.node", "1.7.15"  # llama.cpp's build 10257
BINARY = "@fugood/node-llama"  # and the platform behind it


class Missing(Exception):
    """It is not here and cannot be installed; says why, in one line."""


def modules() -> Path:
    """Returns the folder that NODE_PATH names."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pocketllm" / "llama.node" / "node_modules"


def is_installed() -> bool:
    """Whether the package lies in the cache, in the version that the tests ran with."""
    path = modules() / PACKAGE / "package.json"
    return path.is_file() and json.loads(path.read_text())["version"] == VERSION


def install() -> Path:
    """Returns `modules()`, filled by npm unless it was; raises Missing where it cannot be.

    The build for this machine's processor alone: those for graphics cards have 260 MB.
    """
    if is_installed():
        return modules()
    if not shutil.which("node") or not shutil.which("npm"):
        raise Missing("node and npm are not installed")
    platform = run("node", "-p", "`${process.platform}-${process.arch}`")
    folder = modules().parent
    folder.mkdir(parents=True, exist_ok=True)
    run(
        "npm", "install", f"--prefix={folder}", "--omit=optional", "--ignore-scripts", "--no-audit",
        "--no-fund", f"{PACKAGE}@{VERSION}", f"{BINARY}-{platform}@{VERSION}",
    )  # fmt: skip
    return modules()


def run(*command: str) -> str:
    """Runs a command; returns what it printed, or raises Missing with its first complaint."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if line.strip()), "it said nothing")
        raise Missing(f"{command[0]} did not end well ({why})")
    return done.stdout.strip()


def needed() -> Path:
    """Returns `modules()`; without the package, which no test installs, the test is skipped."""
    import pytest

    if not shutil.which("node"):
        pytest.skip("node is not installed")
    if not is_installed():
        pytest.skip(f"{PACKAGE} {VERSION} is not in {modules()}: `make llama-cpp` installs it")
    return modules()


def node(script: Path, *arguments) -> None:
    """Runs a script with the package at hand; its errors end the test."""
    done = subprocess.run(
        ["node", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"NODE_PATH": str(needed())},
    )
    assert done.returncode == 0, done.stderr[-2000:]


if __name__ == "__main__":
    try:
        print(install())
    except Missing as error:
        sys.exit(f"error: {error}")
