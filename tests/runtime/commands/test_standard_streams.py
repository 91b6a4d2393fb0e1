"""Streams that are closed, or lack a text's signs, end no command."""

import io
import os
import subprocess
import sys

import pytest

from pocketllm.runtime import cli


def test_signs_that_a_terminal_lacks_are_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    assert cli.main(["--version"]) == 0
    print("é", flush=True)

    assert written.getvalue().endswith(b"\\xe9\n")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_command_runs_with_closed_streams(closed, golden_bundle):
    def close():
        for number in closed:
            os.close(number)

    command = [sys.executable, "-m", "pocketllm.runtime.cli", "inspect"]
    arguments = [f"--bundle={golden_bundle.folder}"]
    done = subprocess.run([*command, *arguments], preexec_fn=close, timeout=120)
    assert done.returncode == 0
