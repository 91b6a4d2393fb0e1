"""Work in a forked process, for libraries that end the process where they should return an error.

A fork, not a new interpreter: on a phone Python runs through a loader of its own, and nothing says
how it was started.
"""

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from ..errors import InputError, RunError
from ..host import signals
from ..host.native_output import last_lines, scratch_file

PR_SET_PDEATHSIG = 1
READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Death:
    """A child that a signal ended.

    Attributes:
      signal: its name, "SIGABRT" say.
      lines: the last ones that its libraries printed, joined; "" of none.
    """

    signal: str
    lines: str


def run_in_child(work: Callable[[], object]) -> Death | None:
    """Runs `work` in a child process; returns how it died, None where it came to its end.

    Raises:
      InputError, RunError: those of `work`, with its message.
      KeyboardInterrupt: Ctrl-C or SIGTERM came; the child is ended.
    """
    sys.stdout.flush()
    log = scratch_file()
    reader, writer = os.pipe()
    parent, child = os.getpid(), 0
    try:  # from here on, so that a signal right behind the fork ends the child too
        with warnings.catch_warnings():
            # Python 3.12 warns of locks that other threads may hold; `work` takes none of ours.
            warnings.simplefilter("ignore", DeprecationWarning)
            with signals.caught():  # hooks that run at a fork would swallow a KeyboardInterrupt
                child = os.fork()
                if child == 0:
                    os.close(reader)
                    _work(work, parent, log, writer)
        os.close(writer)
        signals.check()
        with open(reader, "rb") as pipe:
            answer = json.loads(pipe.read() or b"{}")  # to the child's end
    except BaseException:
        if child:
            os.kill(child, signal.SIGKILL)
            _wait(child)
        raise
    finally:
        _pass_on(log)
        lines = last_lines(log)
        os.close(log)
    number = _wait(child)
    if number in (signal.SIGINT, signal.SIGTERM):
        raise KeyboardInterrupt
    if "input" in answer:
        raise InputError(answer["input"])
    if "run" in answer:
        raise RunError(answer["run"])
    if "done" in answer:
        return None
    return Death(signal.Signals(number).name if number else "an unknown cause", lines)


def _work(work, parent, log, writer) -> NoReturn:
    """The child's side; what it has to say goes to the pipe."""
    answer = {}
    try:
        faulthandler.disable()  # its death is the parent's to tell
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.dup2(log, 2)
        work()
        answer = {"done": True}
    except BaseException as error:
        kind = "input" if isinstance(error, InputError) else "run"
        text = str(error) if isinstance(error, InputError | RunError) else repr(error)
        answer = {kind: text}
    finally:
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)


def _wait(child):
    """Waits for a child; returns the signal that ended it, 0 where none did or nobody knows."""
    try:
        _, status = os.waitpid(child, 0)
    except ChildProcessError:  # whoever started this process has it ignore SIGCHLD
        return 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _pass_on(log):
    """Prints what the child's libraries printed where this process's libraries print."""
    position = 0
    while data := os.pread(log, READ_BYTES, position):
        os.write(2, data)
        position += len(data)
