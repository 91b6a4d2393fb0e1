"""Prints the output of a job on the phone until it ends, across lost connections."""

import re
import sys
import time
from collections.abc import Callable

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import signals
from pocketllm.runtime.journal.reader import JOURNAL

from .adb import ConnectionLost, Phone, is_there
from .job import ENDED, LOST, NONE, RUNNING, Look, look, stop
from .paths import run_folder, run_of_job
from .space import full_remedy

LOOK_SECONDS, WAIT_SECONDS = 0.5, 2.0
COMPLAINT = re.compile(rb"pocketllm [\w ]*: error: (.*)")
BAD_INPUT, KILLED, STOPPED = 2, 128 + 9, (130, 128 + 15)
STOPPING = "stopping after the step under way; Ctrl-C again leaves the phone to it"


class Output:
    """Prints a job's output line by line, and keeps its error message for the caller to raise.

    Attributes:
      out: bytes of stdout that were printed or wait for the end of their line.
      err: the same of stderr.
      complaint: the message of the job's `pocketllm …: error: ` line, else "".
    """

    def __init__(self):
        self.out = self.err = 0
        self.complaint = ""
        self._incomplete = {sys.stdout: b"", sys.stderr: b""}

    def show(self, seen: Look) -> None:
        """Prints the new output of a look at the job."""
        self.out += len(seen.out)
        self.err += len(seen.err)
        self._print_lines(sys.stdout, seen.out)
        self._print_lines(sys.stderr, seen.err)

    def _print_lines(self, stream, data):
        *lines, self._incomplete[stream] = (self._incomplete[stream] + data).split(b"\n")
        for line in lines:
            if stream is sys.stderr and (match := COMPLAINT.fullmatch(line)):
                self.complaint = match[1].decode(errors="replace")
            else:
                print(line.decode(errors="replace"), file=stream, flush=True)


def print_error(line: str) -> None:
    """Prints a line on stderr."""
    print(line, file=sys.stderr, flush=True)


def follow(
    phone: Phone, name: str, reconnect_seconds: float, say: Callable[[str], None] = print_error
) -> None:
    """Prints a job's output until it ends with exit code 0. The first Ctrl-C stops only the job.

    Args:
      phone: the phone it runs on.
      name: the job's name.
      reconnect_seconds: time to wait for a phone whose connection was lost.
      say: takes one line about the connection or the stop.

    Raises:
      InputError: the job refused its input; the message is the job's.
      RunError: the job failed; the message is the job's.
      ConnectionLost: the phone did not come back in time; the job goes on.
      KeyboardInterrupt: the job was stopped before its first step; or a second Ctrl-C came, and
        the job ends by itself.
    """
    output, stopping, stopped, gone_since = Output(), False, False, None
    with signals.caught() as interrupted:
        while True:
            try:
                if interrupted() and not stopping:
                    stopping = True
                    say(STOPPING)
                # Not in the block above: a lost phone gets the signal after it is back.
                if stopping and not stopped:
                    stop(phone, name)
                    stopped = True
                seen = _look(phone, name, output, gone_since is not None, say)
                gone_since = None
                output.show(seen)
                if seen.state != RUNNING and not (seen.out or seen.err):
                    return _end(phone, seen, name, output)
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
    """Waits a moment for a lost phone.

    Args:
      error: the ConnectionLost of the last look.
      since: time.monotonic() of the first loss; None: this is the first.
      reconnect_seconds: longest wait from `since` on.
      name: the job's name.
      say: takes the one line that the phone is gone.

    Returns:
      `since`.

    Raises:
      ConnectionLost: the phone is gone for longer than `reconnect_seconds`.
    """
    if since is None:
        since = time.monotonic()
        say(f"{error}; it goes on on the phone; waiting for {reconnect_seconds:.0f} s")
    if time.monotonic() - since > reconnect_seconds:
        raise ConnectionLost(
            f"{error}; {name} goes on on the phone, `pocketllm device attach` picks it up"
        ) from error
    time.sleep(min(WAIT_SECONDS, reconnect_seconds / 4))
    return since


def _end(phone, seen, name, output):
    """Returns if the job ended with exit code 0; else raises as `follow` says."""
    if seen.state == NONE:
        raise InputError(f"{name}: the phone knows no such job; start it")
    if seen.state == ENDED and seen.code == 0:
        return
    if seen.code == BAD_INPUT:
        raise InputError(output.complaint or f"{name}: exit code {seen.code} on the phone")
    if seen.code in STOPPED:
        raise KeyboardInterrupt
    remedy = full_remedy(phone, output.complaint)
    if output.complaint:
        raise RunError(f"{output.complaint}{remedy}")
    if seen.state == LOST:
        trouble, cause = "ended without an exit code", "was the phone restarted?"
    elif seen.code is None:
        trouble, cause = "ended, and its exit code could not be written", "was the phone full?"
    elif seen.code == KILLED:
        trouble, cause = (
            "was killed on the phone (signal 9)",
            "for want of memory as a rule: close apps there, or take a smaller model or int8 base",
        )
    else:
        raise RunError(f"{name}: exit code {seen.code} on the phone{remedy}")
    raise RunError(f"{name}: {trouble} ({cause}){remedy}; {_again(phone, name)}")


def _again(phone, name):
    """Returns what the same command does now: it goes on where the phone holds a journal."""
    run = run_of_job(name)
    if run is not None and is_there(phone, f"{run_folder(run)}/{JOURNAL}"):
        return "the same command goes on where the run stopped"
    return "the same command begins again"
