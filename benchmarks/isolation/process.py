"""A process run to its end: its lines as they come, its time and its peak of resident pages."""

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
      returncode: negative for the signal that killed it.
      seconds: wall time.
      peak_rss_bytes: the kernel's ru_maxrss, which starts from the resident size of the process
        that started it: that one must stay small.
    """

    returncode: int
    seconds: float
    peak_rss_bytes: int

    @property
    def how(self) -> str:
        """Says how a failed one ended."""
        if self.returncode >= 0:
            return f"exit code {self.returncode}"
        return f"killed by {signal.Signals(-self.returncode).name}"


def run_process(
    command: Sequence[str],
    variables: Mapping[str, str],
    on_line: Callable[[str], None],
    errors: IO,
) -> Ended:
    """Runs a command; none outlives the block, also when that is interrupted.

    Args:
      command: program and arguments.
      variables: added to its environment.
      on_line: told every line that it prints.
      errors: file that its stderr goes to.
    """
    started = time.monotonic()
    process = None
    try:
        with _interrupt_held_back():
            process = subprocess.Popen(
                command,
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors="replace",
            )
        for line in process.stdout:
            on_line(line.strip())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process is not None:
            process.stdout.close()
            if process.returncode is None:
                process.kill()
                process.wait()
    return Ended(process.returncode, time.monotonic() - started, usage.ru_maxrss * 1024)


@contextmanager
def _interrupt_held_back():
    """Holds Ctrl-C back until the block has ended: a process half started could not be killed."""
    came = []
    usual = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        raise KeyboardInterrupt
