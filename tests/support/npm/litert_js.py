"""LiteRT.js: the npm package @litertjs/core, in the version that the example's package.json names.

`python tests/support/npm/litert_js.py FOLDER` installs it into the cache, unless it is there, and
puts the page of examples/browser with its WebAssembly files into FOLDER, to be served.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import npm_packages

TOOL, PACKAGE = "litert.js", "@litertjs/core"
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "browser"
VERSION = json.loads((EXAMPLE / "package.json").read_text())["dependencies"][PACKAGE]
# The others need what a plain server does not send, or an API that few browsers have.
BUILD = "litert_wasm_compat_internal"
PROBE = Path(__file__).with_name("litert_probe.js")


def install() -> Path:
    """Returns the package's folder of WebAssembly files; raises npm_packages.Missing."""
    if not npm_packages.is_installed(TOOL, PACKAGE, VERSION):
        npm_packages.install(TOOL, f"{PACKAGE}@{VERSION}")
    return npm_packages.modules(TOOL) / PACKAGE / "wasm"


def needed() -> Path:
    """Returns the package's folder of WebAssembly files; without it the test is skipped."""
    npm_packages.needed(TOOL, PACKAGE, VERSION, "browser")
    return install()


def assemble(folder: Path) -> Path:
    """Puts the page and the WebAssembly files into a folder, to be served; returns the folder."""
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    (folder / "litert").mkdir(exist_ok=True)
    for suffix in ("js", "wasm"):
        shutil.copy(install() / f"{BUILD}.{suffix}", folder / "litert")
    return folder


def train(*arguments, **environment) -> subprocess.CompletedProcess:
    """Runs examples/browser/train.js in Node; stdout and stderr as text."""
    return node(EXAMPLE / "train.js", *arguments, f"--litert={needed()}", **environment)


def node(script: Path, *arguments, **environment) -> subprocess.CompletedProcess:
    """Runs a script in Node; stdout and stderr as text."""
    return subprocess.run(
        ["node", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | environment,
    )


def probe(folder: Path, command: str, **plan) -> dict:
    """Runs a command of the probe, which must end well, and returns its answer."""
    path, answer = folder / "plan.json", folder / "answer.json"
    path.write_text(json.dumps({"command": command, "litert": str(needed()), **plan}, default=str))
    done = node(PROBE, EXAMPLE, path, answer)
    assert done.returncode == 0, done.stderr
    return json.loads(answer.read_text())


if __name__ == "__main__":
    try:
        print(assemble(Path(sys.argv[1])))
    except npm_packages.Missing as error:
        sys.exit(f"error: {error}")
