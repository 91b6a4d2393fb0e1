"""The workstation's other programs: found or asked for, run with their complaint in one line."""

import shutil
import subprocess
from collections.abc import Sequence

from pocketllm.runtime.errors import InputError, RunError


def need(program: str, remedy: str) -> str:
    """Returns a program's path; raises InputError with the remedy where there is none."""
    found = shutil.which(program)
    if not found:
        raise InputError(f"{program}: not found on the PATH; {remedy}")
    return found


def run(command: Sequence, trouble: str) -> str:
    """Runs a program to its end; returns what it printed.

    Raises:
      RunError: it failed; the message is `trouble` and the last line of its complaint.
    """
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RunError(f"{trouble}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
