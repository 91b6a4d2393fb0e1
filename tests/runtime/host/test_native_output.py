"""What libraries print and die of is told: with the error, on stderr, by the parent of a child."""

import os
import signal
import time

import pytest
from small_runs import python

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.child import Death, run_in_child
from pocketllm.runtime.host.native_output import last_lines, scratch_file

DIVERTED = """
import os
from pocketllm.runtime.host import native_output
native_output.divert()
"""


def test_an_error_shows_the_last_severe_lines_that_were_printed_during_the_call():
    done = python(
        DIVERTED
        + """
os.write(2, b"ERROR: of an earlier call\\n")
try:
    with native_output.explained():
        os.write(2, b"INFO: hello\\nERROR: one\\n  ERROR: two\\nWARNING: three\\n")
        raise ValueError("it failed")
except RuntimeError as error:
    print(error)
with native_output.explained():
    pass
"""
    )

    assert done.stdout == "it failed; the library printed: ERROR: one / ERROR: two\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_a_log_in_memory_stays_small():
    done = python(
        DIVERTED
        + """
for _ in range(100):
    with native_output.explained():
        os.write(2, b"x" * 100_000)
print(os.fstat(2).st_size <= native_output.MAX_BYTES + 100_000)
"""
    )

    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    ("death", "name"),
    [("os.abort()", "Aborted"), ("ctypes.string_at(0)", "Segmentation fault")],
)
def test_a_library_that_ends_the_process_leaves_a_trace_on_stderr(death, name):
    done = python(f"{DIVERTED}\nimport ctypes\n{death}")

    assert done.returncode < 0
    assert f"Fatal Python error: {name}" in done.stderr and 'File "<string>", line' in done.stderr


def test_the_last_lines_of_a_log():
    log = scratch_file()
    assert last_lines(log) == ""
    os.write(log, b"first\n\n second   line \nthird\nfourth" + b"!" * 1000)

    assert last_lines(log) == f"second line / third / fourth{'!' * 154}"
    os.close(log)


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
