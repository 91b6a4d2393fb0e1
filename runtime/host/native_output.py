"""Keeps log lines of C++ libraries off the terminal.

They write to file descriptor 2, past Python. The descriptor is redirected, and Python's own stderr
keeps the terminal.
"""

import os
import sys

LOG_VARIABLE = "POCKETLLM_NATIVE_LOG"


def divert() -> None:
    """Sends native stderr to the file named by POCKETLLM_NATIVE_LOG, or nowhere."""
    sys.stderr.flush()
    terminal = os.dup(2)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    target = os.open(os.environ.get(LOG_VARIABLE, os.devnull), flags, 0o644)
    os.dup2(target, 2)
    os.close(target)
    sys.stderr = os.fdopen(terminal, "w", buffering=1)
