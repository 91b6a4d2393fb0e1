"""llama.cpp, built for Node: the npm package @fugood/llama.node.

`python tests/support/npm/llama_node.py` installs it into the cache, unless it is there, and
prints the folder that NODE_PATH names.
"""

import os
import subprocess
import sys
from pathlib import Path

import npm_packages

TOOL = "llama.node"
PACKAGE, VERSION = "@fugood/llama.node", "1.7.15"  # llama.cpp's build 10257
BINARY = "@fugood/node-llama"  # and the platform behind it


def install() -> Path:
    """Returns the folder that NODE_PATH names, filled unless it was; raises npm_packages.Missing.

    The build for this machine's processor alone: those for graphics cards have 260 MB.
    """
    if not npm_packages.is_installed(TOOL, PACKAGE, VERSION):
        platform = npm_packages.run("node", "-p", "`${process.platform}-${process.arch}`")
        npm_packages.install(TOOL, f"{PACKAGE}@{VERSION}", f"{BINARY}-{platform}@{VERSION}")
    return npm_packages.modules(TOOL)


def needed() -> Path:
    """Returns the folder of packages; without ours, which no test installs, the test is skipped."""
    return npm_packages.needed(TOOL, PACKAGE, VERSION, "llama-cpp")


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
    except npm_packages.Missing as error:
        sys.exit(f"error: {error}")
