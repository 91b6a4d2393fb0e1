"""Keeps the interpreters' chatter off the terminal.

C++ libraries write to file descriptor 2 behind Python's back. The descriptor is pointed elsewhere,
and Python's own stderr goes on writing to where it was.
"""

import os
import sys

LOG_VARIABLE = "POCKETLLM_NATIVE_LOG"


def divert() -> None:
    """Sends native stderr to the file named by POCKETLLM_NATIVE_LOG, or nowhere."""
    sys.stderr.flush()
    kept = os.dup(2)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    target = os.open(os.environ.get(LOG_VARIABLE, os.devnull), flags, 0o644)
    os.dup2(target, 2)
    os.close(target)
    sys.stderr = os.fdopen(kept, "w", buffering=1)
