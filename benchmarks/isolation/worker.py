"""Workers: each measurement runs in its own process, so that none counts another's memory.

A worker is `python -m MODULE REQUEST RESULT`: it reads a JSON request from its command line, prints
one line a stage, and writes a JSON result to a file. Of its stderr, with all native messages, only
the last line is shown, and only if the worker fails.
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
# Each is read by another library for matrix products; all get the same number of threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def serve(measure: Callable[[dict, Callable[[str], None]], dict]) -> int:
    """Runs a worker's side of the protocol; returns its exit code.

    Args:
      measure: takes the request and a callback `say` for the name of each stage; returns the
        result, JSON-ready.
    """
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
      name: the worker's name in progress and error messages.
      module: the module's dotted name.
      request: the request, JSON-ready.
      threads: number of threads of its libraries.
      stages: number of lines that it prints, one at the start of each stage.

    Raises:
      InputError: the worker refused its input.
      RunError: the worker failed.
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
                say=lambda line: bar.advance(1, line),
            )
        if not result.exists():
            raise RunError(f"{name}: it ended without a result; run the bench again")
        return read_json(result, "run the bench again")


def thread_variables(threads: int) -> dict[str, str]:
    """Returns the environment variables that give a process's libraries this many threads."""
    return {variable: str(threads) for variable in THREAD_VARIABLES}


def run_module(
    name: str,
    module: str,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    say: Callable[[str], None],
) -> Ended:
    """Runs `python -m module arguments…` to its end; raises as `run_worker`.

    Args:
      name: the process's name in error messages.
      module: the module to run.
      arguments: its command line.
      variables: added to its environment.
      say: takes each line of its stdout.
    """
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        ended = run_process(command, variables, say, errors)
        if ended.returncode:
            errors.seek(0)
            why = last_line(errors.read())
            if ended.returncode == BAD_INPUT:
                raise InputError(f"{name}: {why}")
            raise RunError(f"worker {name!r} failed ({ended.how}): {why}")
    return ended


def last_line(errors: str) -> str:
    """Returns the last line of a process's stderr, without the command's name before it."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return lines[-1].split(": error: ", 1)[-1] if lines else "it said nothing"
