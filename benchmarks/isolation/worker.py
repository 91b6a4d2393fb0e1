"""Workers: every measurement in a process of its own, so that none sees another's memory.

A worker is `python -m MODULE REQUEST RESULT`: it reads a JSON request from its command line, prints
a line a stage, and writes a JSON result to a file. Its stderr, with all native chatter, is kept in
a file; only the last line is shown, and only if the worker fails.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import read_json, write_json
from pocketllm.runtime.host.progress import Progress

from .process import Ended, run_process

BAD_INPUT, FAILED = 2, 1
# Whatever library a worker multiplies with, it gets the same number of threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
      module: its dotted name.
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
        with Progress(name, stages + 1, "stage") as bar:
            bar.say(f"measuring {name}")
            run_module(
                name,
                module,
                arguments,
                thread_variables(threads),
                on_line=lambda line: bar.advance(1, line),
            )
        if not result.exists():
            raise RunError(f"{name}: it ended without a result; run the bench again")
        return read_json(result, "run the bench again")


def thread_variables(threads: int) -> dict[str, str]:
    """Returns the environment that gives a process's libraries this number of threads."""
    return {variable: str(threads) for variable in THREAD_VARIABLES}


def run_module(
    name: str,
    module: str,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    on_line: Callable[[str], None],
) -> Ended:
    """Runs `python -m module arguments…` to its end; errors as `run_worker`.

    Args:
      name: what error messages call it.
      module: to run.
      arguments: of its command line.
      variables: added to its environment.
      on_line: told every line that it prints.
    """
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        ended = run_process(command, variables, on_line, errors)
        if ended.returncode:
            errors.seek(0)
            why = last_words(errors.read())
            if ended.returncode == BAD_INPUT:
                raise InputError(f"{name}: {why}")
            raise RunError(f"worker {name!r} failed ({ended.how}): {why}")
    return ended


def last_words(errors: str) -> str:
    """Returns the last line of a process's stderr, without the command's name."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1].split(": error: ", 1)[-1] if lines else "it said nothing"
