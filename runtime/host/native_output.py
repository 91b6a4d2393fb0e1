"""Keeps log lines of C++ libraries off the terminal, and for the error that they explain.

They write to file descriptor 2, past Python. The descriptor is redirected, and Python's own stderr
keeps the terminal. A library that ends the process leaves Python's stack there (faulthandler).
"""

import faulthandler
import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

LOG_VARIABLE = "POCKETLLM_NATIVE_LOG"
MAX_BYTES = 1 << 20  # of a log that is in memory
LINES, LINE_CHARACTERS = 3, 160  # that an error shows
SEVERE = ("ERROR", "FATAL", "E0", "F0", "thread '")  # of LiteRT, of absl, of Rust

_log: int | None = None  # what descriptor 2 is, once it is diverted
_is_ours = False  # whether the log is in memory, and may be cut


def divert() -> None:
    """Sends native stderr to the file named by POCKETLLM_NATIVE_LOG, else into memory."""
    global _log, _is_ours
    if _log is not None:
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    path = os.environ.get(LOG_VARIABLE)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    log = os.open(path, flags, 0o644) if path else scratch_file()
    os.dup2(log, 2)
    sys.stderr = os.fdopen(terminal, "w", buffering=1, errors="backslashreplace")
    faulthandler.enable(sys.stderr)
    _log, _is_ours = log, not path


def scratch_file() -> int:
    """Returns an empty file for appending that is in memory where the system can do that."""
    try:
        log = os.memfd_create("pocketllm-native")
    except (AttributeError, OSError):
        try:
            with tempfile.TemporaryFile() as file:
                log = os.dup(file.fileno())
        except OSError:
            return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    fcntl.fcntl(log, fcntl.F_SETFL, os.O_APPEND)
    return log


@contextmanager
def explained() -> Iterator[None]:
    """Adds to a library's error what the library printed during the block.

    Raises:
      RuntimeError: for a RuntimeError or ValueError of the block, with the lines in its text.
    """
    if _log is None:
        yield
        return
    log, start = _log, _emptied_at(_log)
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if lines := last_lines(log, start):
            raise RuntimeError(f"{error}; the library printed: {lines}") from error
        raise


def last_lines(log: int, start: int = 0) -> str:
    """Returns the last lines of a log, the severe ones where there are any, joined by " / "."""
    size = os.fstat(log).st_size
    start = max(start, size - MAX_BYTES)
    text = os.pread(log, size - start, start).decode(errors="replace") if size > start else ""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    severe = [line for line in lines if line.startswith(SEVERE)]
    return " / ".join(line[:LINE_CHARACTERS] for line in (severe or lines)[-LINES:])


def _emptied_at(log):
    """Returns where the log ends; one in memory that has grown is emptied first."""
    size = os.fstat(log).st_size
    if _is_ours and size > MAX_BYTES:
        os.ftruncate(log, 0)
        return 0
    return size
