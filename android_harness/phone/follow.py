"""Shows what a job on the phone prints, through lost connections, to its end."""

import re
import sys
import time
from collections.abc import Callable

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import signals

from .adb import ConnectionLost, Phone
from .job import ENDED, LOST, NONE, RUNNING, Look, look, stop

LOOK_SECONDS, WAIT_SECONDS = 0.5, 2.0
COMPLAINT = re.compile(rb"pocketllm [\w ]*: error: (.*)")
BAD_INPUT, KILLED, STOPPED = 2, 128 + 9, (130, 128 + 15)
STOPPING = "stopping after the step under way; Ctrl-C again leaves the phone to it"


class Output:
    """Passes whole lines on, but the one with which a command complains: the caller says that."""

    def __init__(self):
        self.out = self.err = 0  # bytes so far
        self.complaint = ""
        self._rests = {sys.stdout: b"", sys.stderr: b""}

    def show(self, seen: Look) -> None:
        """Prints what is new."""
        self.out += len(seen.out)
        self.err += len(seen.err)
        self._pass_on(sys.stdout, seen.out)
        self._pass_on(sys.stderr, seen.err)

    def _pass_on(self, stream, data):
        *lines, self._rests[stream] = (self._rests[stream] + data).split(b"\n")
        for line in lines:
            if stream is sys.stderr and (found := COMPLAINT.fullmatch(line)):
                self.complaint = found[1].decode(errors="replace")
            else:
                print(line.decode(errors="replace"), file=stream, flush=True)


def tell(line: str) -> None:
    """Prints a line about the connection, on stderr."""
    print(line, file=sys.stderr, flush=True)


def follow(
    phone: Phone, name: str, reconnect_seconds: float, say: Callable[[str], None] = tell
) -> None:
    """Shows a job's output until it ends well. The first Ctrl-C stops the job, not us.

    Args:
      phone: where it runs.
      name: the job's.
      reconnect_seconds: how long to wait for a phone that is gone.
      say: told of lost connections.

    Raises:
      InputError, RunError: it ended so; with the line it complained in.
      ConnectionLost: the phone did not come back; the job goes on.
      KeyboardInterrupt: it was stopped before it had begun; or at the second Ctrl-C, and it ends by
        itself.
    """
    output, stopping, stopped, gone_since = Output(), False, False, None
    with signals.noticed() as asked_to_stop:
        while True:
            try:
                if asked_to_stop() and not stopping:
                    stopping = True
                    say(STOPPING)
                if stopping and not stopped:  # a phone that is gone is told when it is back
                    stop(phone, name)
                    stopped = True
                seen = _look(phone, name, output, gone_since is not None, say)
                gone_since = None
                output.show(seen)
                if seen.state != RUNNING and not (seen.out or seen.err):
                    return _end(seen, name, output)
                if not (seen.out or seen.err):
                    time.sleep(LOOK_SECONDS)
            except ConnectionLost as error:
                gone_since = _wait(error, gone_since, reconnect_seconds, name, say)


def _look(phone, name, output, was_gone, say):
    seen = look(phone, name, output.out, output.err)
    if was_gone:
        say(f"{phone.serial}: is back")
    return seen


def _wait(error, since, reconnect_seconds, name, say):
    """Says once that the phone is gone; returns since when; raises when it is too long."""
    if since is None:
        since = time.monotonic()
        say(f"{error}; it goes on on the phone; waiting for {reconnect_seconds:.0f} s")
    if time.monotonic() - since > reconnect_seconds:
        raise ConnectionLost(
            f"{error}; {name} goes on on the phone, `pocketllm device attach` picks it up"
        ) from error
    time.sleep(min(WAIT_SECONDS, reconnect_seconds / 4))
    return since


def _end(seen, name, output):
    if seen.state == NONE:
        raise InputError(f"{name}: the phone knows no such job; start it")
    if seen.state == LOST:
        raise RunError(
            f"{name}: ended without an exit code (was the phone restarted?); the same command goes "
            "on where a run stopped"
        )
    if seen.state == ENDED and seen.code == 0:
        return
    if seen.code == BAD_INPUT:
        raise InputError(output.complaint or f"{name}: exit code {seen.code} on the phone")
    if seen.code in STOPPED:
        raise KeyboardInterrupt
    if seen.code == KILLED:
        raise RunError(
            f"{name}: was killed on the phone (signal 9), for want of memory as a rule; close apps "
            "there, or take a smaller model or a frozen base; the same command goes on"
        )
    raise RunError(output.complaint or f"{name}: exit code {seen.code} on the phone")
