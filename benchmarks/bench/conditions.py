"""Conditions of our measurements: packed weights in a file or not, and a memory limit."""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from pocketllm.runtime import contract
from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.host.progress import Progress

from ..isolation.memory_limit import drop_caches, run_limited
from ..isolation.worker import last_line, thread_variables
from .workers import LITERT
from .workload import Workload


def forget_packed(bundle: Bundle) -> None:
    """Removes a bundle's file of packed weights; the stamp first, without which it is not used."""
    for name in (contract.PACKED_STAMP, contract.PACKED_FILE):
        (bundle.folder / name).unlink(missing_ok=True)


def measure_limited(
    work: Workload, bundle: Bundle, limit_bytes: int, summarised: Callable[[dict], dict]
) -> dict:
    """Runs the LiteRT worker under a hard memory limit, after dropping caches.

    Args:
      work: the worker's request; its file of packed weights, if any, was written before.
      bundle: the bundle of `work`.
      limit_bytes: the limit, see memory_limit.run_limited.
      summarised: adds "summary" to a worker's result.

    Returns:
      {"limit_bytes", "limit_kind", "limit_peak_bytes", "caches_dropped", "out_of_memory"}; with
      the worker's summarised result, unless it ran out of memory.

    Raises:
      RunError: the worker failed, and not because of the limit.
    """
    with tempfile.TemporaryDirectory(prefix="pocketllm-bench-") as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log.txt"
        command = ["-m", LITERT, json.dumps(asdict(work)), str(result)]
        drop_file_pages(bundle.folder)
        caches_dropped = drop_caches()
        with Progress(f"batch {work.batch_size}: limited", len(work.schedule) + 3, "stage") as bar:
            bar.say(f"measuring batch {work.batch_size}: ours in {limit_bytes / 1e6:g} MB")
            outcome = run_limited(
                [sys.executable, *command],
                limit_bytes,
                log,
                variables=thread_variables(work.threads),
                say=lambda line: bar.advance(1, line),
            )
        if outcome.ended.returncode and not outcome.out_of_memory:
            raise RunError(
                f"batch {work.batch_size}: ours in {limit_bytes} bytes failed "
                f"({outcome.ended.how}): {last_line(log.read_text(errors='replace'))}"
            )
        limited = {
            "limit_bytes": limit_bytes,
            "limit_kind": outcome.kind,
            "limit_peak_bytes": outcome.peak_bytes,
            "caches_dropped": caches_dropped,
            "out_of_memory": outcome.out_of_memory,
        }
        if outcome.out_of_memory:
            return limited
        return limited | summarised(read_json(result, "run the bench again"))


def drop_file_pages(folder: Path) -> None:
    """Drops the clean pages of a folder's files that no process has mapped.

    Unlike `drop_caches` it needs no rights: pages that another process has read would be missing
    from the cgroup's count.
    """
    for path in filter(Path.is_file, folder.iterdir()):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
