"""Workers and processes: their environment, memory and ends; what fails is named."""

import os
import subprocess
import sys

import pytest

from pocketllm.benchmarks.bench.workers import LITERT
from pocketllm.benchmarks.isolation import worker
from pocketllm.runtime.errors import InputError, RunError


def test_our_worker_imports_nothing_that_would_count_as_memory_of_ours():
    code = "import sys, pocketllm.benchmarks.bench.workers.litert; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pocketllm.benchmarks.bench.workers.litert" in done.stdout.split()
    assert not {"torch", "tensorflow", "transformers"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "error", "complaint"),
    [
        (LITERT, InputError, "^a worker: nowhere"),
        ("pocketllm.benchmarks.bench.summary", RunError, "^a worker: it ended without a result"),
        (
            "pocketllm.no_such",
            RunError,
            r"^worker 'a worker' failed \(exit code 1\): .*No module named",
        ),
    ],
)
def test_a_worker_that_fails_is_named_with_its_last_line(module, error, complaint):
    request = {
        "bundle": "nowhere",
        "engine": "litert",
        "threads": 1,
        "batch_size": 1,
        "seq_len": 8,
        "steps": 1,
        "seed": 0,
        "second_len": None,
    }

    with pytest.raises(error, match=complaint):
        worker.run_worker("a worker", module, request, threads=1, stages=1)


def run_script(tmp_path, monkeypatch, script, say=print):
    (tmp_path / "scripted.py").write_text(script)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return worker.run_module("scripted", "scripted", [], {"MINE": "7"}, say)


def test_a_process_is_measured_and_given_its_environment(tmp_path, monkeypatch):
    lines = []
    script = "import os; block = bytearray(b'1') * 200_000_000; print('mine', os.environ['MINE'])"

    ended = run_script(tmp_path, monkeypatch, script, lines.append)

    assert lines == ["mine 7"]
    assert ended.peak_rss_bytes > 200_000_000 and ended.seconds > 0


def test_a_killed_worker_is_told_with_its_signal(tmp_path, monkeypatch):
    with pytest.raises(RunError) as error:
        run_script(tmp_path, monkeypatch, "import os; os.kill(os.getpid(), 9)")
    assert str(error.value) == "worker 'scripted' failed (killed by SIGKILL): it said nothing"


def test_an_interrupt_leaves_no_worker_behind(tmp_path, monkeypatch):
    started = []

    def interrupt(line):
        started.append(int(line))
        raise KeyboardInterrupt

    script = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    with pytest.raises(KeyboardInterrupt):
        run_script(tmp_path, monkeypatch, script, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)
