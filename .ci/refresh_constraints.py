"""Writes constraints.txt: the exact versions that setup.cfg's ranges resolve to, per Python.

`make constraints` runs it with each Python in PYTHONS; the tests must pass before it is committed.
pip resolves in an empty environment of each Python and installs nothing.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "export,pytorch,reference,report,test,dev"
# Ours, what installs the others, and what only the CUDA build of PyTorch needs.
LEFT_OUT = re.compile(r"pocketllm|pip|setuptools|wheel|triton|(nvidia|cuda)-.*")
HEADER = """\
# The exact versions that the tests run with; `make` installs no others. setup.cfg has the ranges.
# Written by `make constraints`.
"""
# On Linux a build without a local version is one with CUDA; pip finds the CPU build where the
# user's pip configuration names an index that has it.
TORCH = """\
torch=={version}+cpu; sys_platform == "linux"
torch=={version}; sys_platform != "linux"
"""


def resolved(python: str) -> tuple[str, dict[str, str]]:
    """Returns the minor version of a Python, and {package: version} that pip takes there."""
    minor = _output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    with tempfile.TemporaryDirectory() as folder:
        _output([python, "-m", "venv", folder])
        pip = [f"{folder}/bin/python", "-m", "pip"]
        command = ["install", "--quiet", "--dry-run", "--ignore-installed", "--report=-"]
        report = json.loads(_output([*pip, *command, f"{ROOT}[{EXTRAS}]"]))
    packages = {}
    for entry in report["install"]:
        name = re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower()
        if not LEFT_OUT.fullmatch(name):
            packages[name] = entry["metadata"]["version"].partition("+")[0]
    return minor, packages


def constraints(versions: dict[str, dict[str, str]]) -> str:
    """Returns the text of constraints.txt from {Python: {package: version}}."""
    text = HEADER
    for name in sorted(set().union(*versions.values())):
        minors = defaultdict(list)
        for minor, packages in versions.items():
            if name in packages:
                minors[packages[name]].append(minor)
        if name == "torch":
            (version,) = minors
            text += TORCH.format(version=version)
        elif len(minors) == 1:
            text += f"{name}=={next(iter(minors))}\n"
        else:
            for version, pythons in minors.items():
                marker = " or ".join(f'python_version == "{minor}"' for minor in pythons)
                text += f"{name}=={version}; {marker}\n"
    return text


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    (ROOT / "constraints.txt").write_text(constraints(dict(map(resolved, sys.argv[1:]))))
