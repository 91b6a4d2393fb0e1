"""The lock of a run directory: what keeps a process out of it, and what says that none can."""

import errno
import os
import threading
from contextlib import ExitStack

import pytest

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import lock
from pocketllm.runtime.host.lock import run_lock


@pytest.mark.parametrize("name", ["ENOLCK", "ENOTSUP", "EROFS", "EACCES", "ENOSYS"])
def test_a_file_system_that_locks_nothing_is_named(name, tmp_path, monkeypatch):
    number = getattr(errno, name)

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    message = f"cannot be locked: .* \\({errno.errorcode[number]}\\), .*: choose a --run on"
    with pytest.raises(RunError, match=message), run_lock(tmp_path / "run"):
        pass


def test_a_lock_of_another_process_is_no_error_of_the_file_system(tmp_path):
    message = "another process trains in it"
    with run_lock(tmp_path), pytest.raises(InputError, match=message), run_lock(tmp_path):
        pass


def test_a_lock_of_another_process_is_waited_for(tmp_path):
    other = ExitStack()
    other.enter_context(run_lock(tmp_path))
    threading.Timer(0.2, other.close).start()

    with run_lock(tmp_path, wait_seconds=60):
        pass


def test_a_lock_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / ".lock").mkdir()
    message = r"cannot be written: .* \(EISDIR, \.lock\); make"
    with pytest.raises(RunError, match=message), run_lock(tmp_path):
        pass
