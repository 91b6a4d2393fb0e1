"""A signal stops a job on the phone, whenever it comes; nothing is measured, no device is there."""

import signal
import sys

import pytest

from pocketllm.android_harness.phone import follow as module
from pocketllm.android_harness.phone.adb import ConnectionLost, Phone
from pocketllm.android_harness.phone.follow import follow
from pocketllm.android_harness.phone.job import ENDED, RUNNING, Look
from pocketllm.runtime.host import signals

pytestmark = [pytest.mark.desktop, pytest.mark.usefixtures("own_signals")]
PHONE = Phone("adb", "a phone")
LINES = [b"step 1\n", b"step 2\n", b"", b"step 3\n"]


class Job:
    """Prints LINES, one at each look, for as long as nobody stops it."""

    def __init__(self, monkeypatch, away=()):
        """The looks in `away`, counted from 0, find the connection lost."""
        self.looks, self.stops, self.printed, self.away = 0, 0, b"", away
        monkeypatch.setattr(module, "look", self._look)
        monkeypatch.setattr(module, "stop", self._stop)
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(module, "WAIT_SECONDS", 0.0)

    def _look(self, phone, name, out, err):
        number, self.looks = self.looks, self.looks + 1
        self._check(number)
        if not self.stops:
            self.printed += LINES[number % len(LINES)]
        assert number < 50, "nobody stops it"
        return Look(ENDED if self.stops else RUNNING, 0, self.printed[out:], b"")

    def _stop(self, phone, name):
        self._check(self.looks)
        self.stops += 1

    def _check(self, number):
        if number in self.away:
            self.away = [other for other in self.away if other != number]
            raise ConnectionLost("gone")


def follow_with_a_signal_at(opcode, number):
    """Follows; the signal comes when so many instructions of follow.py have run."""
    ran = 0

    def trace(frame, event, _):
        nonlocal ran
        if frame.f_code.co_filename != module.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            ran += 1
            if ran == opcode:
                signal.raise_signal(number)
        return trace

    sys.settrace(trace)
    try:
        follow(PHONE, "train-x", 60.0)
    finally:
        sys.settrace(None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_at_whatever_instruction_it_comes_the_job_is_stopped_and_no_line_is_lost(
    number, monkeypatch, capsys
):
    for opcode in range(100, 700):  # from the second look on, to the sixth
        signals.install()
        job = Job(monkeypatch)
        follow_with_a_signal_at(opcode, number)

        shown = capsys.readouterr()
        assert job.stops == 1
        assert shown.out.encode() == job.printed
        assert shown.err == module.STOPPING + "\n"


def test_a_phone_that_is_gone_is_told_when_it_is_back(monkeypatch, capsys):
    job = Job(monkeypatch, away=(0, 0, 1))
    with signals.caught():
        signal.raise_signal(signal.SIGINT)
        follow(PHONE, "train-x", 60.0)

    assert job.stops == 1
    errors = capsys.readouterr().err
    assert errors.startswith(module.STOPPING) and "waiting for 60 s" in errors
    assert errors.count(module.STOPPING) == 1 and "is back" in errors


def test_a_second_signal_leaves_the_phone_to_it(monkeypatch):
    Job(monkeypatch, away=range(50))
    with signals.caught():
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(module.time, "sleep", lambda _: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            follow(PHONE, "train-x", 60.0)
