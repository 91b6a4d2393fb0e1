"""Runs a process to its end; measures its time and its peak of resident memory."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
      returncode: the exit code, or minus the signal that killed it.
      seconds: wall time.
      peak_rss_bytes: the kernel's ru_maxrss. It starts at the resident size of the parent process,
        which must therefore stay small.
    """

    returncode: int
    seconds: float
    peak_rss_bytes: int

    @property
    def how(self) -> str:
        """Returns in words how a process that failed ended."""
        if self.returncode >= 0:
            return f"exit code {self.returncode}"
        return f"killed by {signal.Signals(-self.returncode).name}"


def run_process(
    command: Sequence[str],
    variables: Mapping[str, str],
    say: Callable[[str], None],
    errors: IO,
) -> Ended:
    """Runs a command to its end; kills it if this function is interrupted.

    Args:
      command: program and arguments.
      variables: added to its environment.
      say: takes each line of its stdout, stripped.
      errors: file that takes its stderr.
    """
    started = time.monotonic()
    process = None
    try:
        with _interrupt_deferred():
            process = subprocess.Popen(
                command,
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors="replace",
            )
        assert process.stdout is not None  # a pipe
        with process.stdout:
            for line in process.stdout:
                say(line.strip())
        _, status, usage = os.wait4(process.pid, 0)
        returncode = process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process is not None and process.returncode is None:
            process.kill()
            process.wait()
    return Ended(returncode, time.monotonic() - started, usage.ru_maxrss * 1024)


@contextmanager
def _interrupt_deferred():
    """Defers Ctrl-C to the end of the block: a process that is being started cannot be killed."""
    deferred = []
    handler = signal.signal(signal.SIGINT, lambda number, _: deferred.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if deferred:
        raise KeyboardInterrupt
