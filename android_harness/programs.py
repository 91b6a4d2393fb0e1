"""The workstation's other programs: found on the PATH, run to their end, failures in one line."""

import shutil
import subprocess
from collections.abc import Sequence

from pocketllm.runtime.errors import InputError, RunError


def need(program: str, remedy: str) -> str:
    """Returns a program's path; raises InputError, which ends with the remedy, if it is missing."""
    path = shutil.which(program)
    if not path:
        raise InputError(f"{program}: not found on the PATH; {remedy}")
    return path


def run(command: Sequence, trouble: str) -> str:
    """Runs a program to its end; returns its stdout.

    Raises:
      RunError: its exit code is not 0; the message is `trouble` and its last line of output.
    """
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RunError(f"{trouble}: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return done.stdout
