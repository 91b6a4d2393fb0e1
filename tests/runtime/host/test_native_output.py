"""What libraries print is told with the error, and what they die of on stderr."""

import os

import pytest
from small_runs import python

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
