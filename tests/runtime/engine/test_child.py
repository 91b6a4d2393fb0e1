"""Work in a child process: its errors are the parent's, its death is told."""

import os
import signal
import time

import pytest

from pocketllm.runtime.engine.child import Death, run_in_child
from pocketllm.runtime.errors import InputError, RunError


def test_a_child_that_does_its_work_returns_nothing_and_changes_nothing(tmp_path):
    values = []
    assert run_in_child(lambda: (tmp_path / "file").touch() or values.append(1)) is None

    assert (tmp_path / "file").exists() and values == []


def abort():
    os.write(2, b"ERROR: no space\n")
    os.abort()


def test_a_child_that_dies_is_told_with_its_signal_and_its_last_lines(capfd):
    assert run_in_child(abort) == Death("SIGABRT", "ERROR: no space")
    assert capfd.readouterr() == ("", "ERROR: no space\n")
    assert run_in_child(lambda: os.kill(os.getpid(), signal.SIGKILL)) == Death("SIGKILL", "")


@pytest.mark.parametrize("error", [InputError("a: bad"), RunError("b: full"), KeyError("c")])
def test_errors_of_a_child_are_raised_by_its_parent(error):
    def fail():
        raise error

    kind = InputError if isinstance(error, InputError) else RunError
    with pytest.raises(kind) as raised:
        run_in_child(fail)
    assert str(raised.value) == (repr(error) if isinstance(error, KeyError) else str(error))


def test_ctrl_c_ends_parent_and_child(own_signals, tmp_path):
    def interrupt():
        (tmp_path / "child").write_text(str(os.getpid()))
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(1000)

    with pytest.raises(KeyboardInterrupt):
        run_in_child(interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "child").read_text()), 0)
