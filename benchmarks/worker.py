"""Workers: every measurement in a process of its own, so that none sees another's memory.

A worker is `python -m MODULE REQUEST RESULT`: it reads a JSON request from its command line, prints
a line a stage, and writes a JSON result to a file. Its stderr, with all native chatter, is kept in
a file; only the last line is shown, and only if the worker fails.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.files import read_json, write_json
from pocketllm.runtime.progress import Progress

BAD_INPUT, FAILED = 2, 1
# Whatever library a worker multiplies with, it gets the same number of threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Took:
    """What a process took: wall seconds, and its peak of all resident pages."""

    seconds: float
    peak_rss_bytes: int


def serve(measure: Callable[[dict, Callable[[str], None]], dict]) -> int:
    """Runs a worker: `measure(request, report)` returns the result; returns the exit code."""
    request, result = json.loads(sys.argv[1]), Path(sys.argv[2])
    try:
        write_json(result, measure(request, lambda stage: print(stage, flush=True)))
    except (InputError, RunError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return BAD_INPUT if isinstance(error, InputError) else FAILED
    return 0


def run_worker(name: str, module: str, request: dict, threads: int, stages: int) -> dict:
    """Runs a worker to its end, showing its progress, and returns its result.

    Args:
      name: what progress and error messages call it.
      module: of this package.
      request: JSON-ready.
      threads: of whatever it multiplies with.
      stages: number of lines that it prints, each when a stage begins.

    Raises:
      InputError: it refused its input.
      RunError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="pocketllm-bench-") as folder:
        result = Path(folder) / "result.json"
        arguments = [json.dumps(request), str(result)]
        variables = {variable: str(threads) for variable in THREAD_VARIABLES}
        with Progress(name, stages + 1, "stage") as bar:
            bar.say(f"measuring {name}")
            run_module(
                name,
                f"{__package__}.{module}",
                arguments,
                variables,
                on_line=lambda line: bar.advance(1, line),
            )
        if not result.exists():
            raise RunError(f"{name}: it ended without a result; run the bench again")
        return read_json(result, "run the bench again")


def run_module(
    name: str,
    module: str,
    arguments: list[str],
    variables: dict[str, str],
    on_line: Callable[[str], None],
) -> Took:
    """Runs `python -m module arguments…` to its end; errors as `run_worker`.

    The peak is the kernel's ru_maxrss, which starts from the resident size of the process that
    starts it: that one must stay small.

    Args:
      name: what error messages call it.
      module: to run.
      arguments: of its command line.
      variables: added to its environment.
      on_line: told every line that it prints.
    """
    command = [sys.executable, "-m", module, *arguments]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = None
        try:
            with _interrupt_held_back():
                process = subprocess.Popen(
                    command,
                    env=os.environ | variables,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    errors="replace",
                )
            for line in process.stdout:
                on_line(line.strip())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:  # also when interrupted: no worker outlives the command
            if process is not None:
                process.stdout.close()
                if process.returncode is None:
                    process.kill()
                    process.wait()
        if process.returncode:
            errors.seek(0)
            _fail(name, process.returncode, errors.read())
    return Took(time.monotonic() - started, usage.ru_maxrss * 1024)


@contextmanager
def _interrupt_held_back():
    """Holds Ctrl-C back until the block has ended: a process half started could not be killed."""
    came = []
    usual = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        raise KeyboardInterrupt


def _fail(name, code, errors):
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    why = lines[-1].split(": error: ", 1)[-1] if lines else "it said nothing"
    if code == BAD_INPUT:
        raise InputError(f"{name}: {why}")
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    raise RunError(f"worker {name!r} failed ({how}): {why}")
