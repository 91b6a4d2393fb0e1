"""Flower's programs as children: their environment, their logs, and their end.

Telemetry, the update check and installations at run time are off. Each has a home of its own.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host import signals

from .present import program

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.05",
}
PROC = Path("/proc")
PARENT_SECONDS, CLEAN_SECONDS = 0.5, 5.0  # between looks for the parent; for a clean end
END_SECONDS, START_SECONDS, CALL_SECONDS = 10.0, 180.0, 120.0
PR_SET_PDEATHSIG = 1  # of prctl, Linux
MOST_TEXT = 400  # characters of what a program says


def environment(home: Path) -> dict[str, str]:
    """Returns the environment of a program of Flower's: `home` is its FLWR_HOME."""
    folder = str(Path(sys.executable).parent)  # it starts its own children by name
    path = os.pathsep.join([folder, os.environ.get("PATH", "")])
    return {**os.environ, **QUIET, "FLWR_HOME": str(home), "PATH": path}


@contextmanager
def started(name: str, arguments: Sequence[str], home: Path) -> Iterator[subprocess.Popen]:
    """Yields one of Flower's programs, running; it ends with the block, and its children too.

    Args:
      name: of the program.
      arguments: its flags.
      home: its FLWR_HOME; its output goes to `home`.log.
    """
    home.mkdir(parents=True, exist_ok=True)
    with open(home.with_suffix(".log"), "ab") as log:
        child = subprocess.Popen(
            [program(name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(home),
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    try:
        yield child
    finally:
        _end(child)


def call(arguments: Sequence[str], home: Path) -> str:
    """Runs `flwr` to its end; returns what it printed.

    Raises:
      RunError: it failed.
    """
    try:
        done = subprocess.run(
            [program("flwr"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(home),
            timeout=CALL_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(f"flwr {arguments[0]}: no end within {CALL_SECONDS:g} s") from error
    if done.returncode:
        words = done.stdout.translate(dict.fromkeys(map(ord, "╭╮╰╯─│"), " ")).split()
        raise RunError(f"flwr {' '.join(arguments[:2])}: {' '.join(words)[-MOST_TEXT:]}")
    return done.stdout


def wait_until_open(child: subprocess.Popen, host: str, port: int, home: Path) -> None:
    """Waits until a program listens.

    Raises:
      RunError: it ended, or does not listen within START_SECONDS.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        signals.check()
        if child.poll() is not None:
            raise RunError(f"{home.with_suffix('.log')}: it ended: {last_log_line(home)}")
        with suppress(OSError), socket.create_connection((host, port), 1.0):
            return
        time.sleep(0.1)
    raise RunError(f"{host}:{port}: nothing listens there after {START_SECONDS:g} s")


def last_log_line(home: Path) -> str:
    """Returns the last line of a program's log."""
    with suppress(OSError):
        return _last_line(home.with_suffix(".log").read_text(errors="replace"))
    return ""


def descendants(pid: int) -> list[int]:
    """Returns the processes that a process started, and those that they did."""
    children = defaultdict(list)
    for path in PROC.iterdir():
        if path.name.isdecimal():
            with suppress(OSError, IndexError):
                # The name is in parentheses, and may hold any character.
                after_name = (path / "stat").read_text(errors="replace").rpartition(")")[2]
                children[int(after_name.split()[1])].append(int(path.name))
    family, waiting = [], [pid]
    while waiting:
        waiting += (more := children[waiting.pop()])
        family += more
    return family


def is_flower(pid: int) -> bool:
    """Whether a process is there, and one of Flower's."""
    with suppress(OSError):
        command = (PROC / str(pid) / "cmdline").read_bytes()
        return b"flwr" in command or b"flower" in command
    return False


def end_with_parent() -> None:
    """Has this process end when its parent does; it may be killed at any line.

    Flower's own watch asks for a clean end, which waits for a SuperLink that is gone.
    """
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        time.sleep(CLEAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _die_with_parent():
    """Has the kernel kill this process when its parent is killed; its own children watch it."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _last_line(text):
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")[-MOST_TEXT:]


def _end(child):
    """Ends a program and what it started; its SuperExec has a session of its own."""
    started_by_it = descendants(child.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(END_SECONDS)
    for pid in started_by_it:
        if is_flower(pid):  # and not another program that has its number by now
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
