"""Worker: the rate at which the machine copies memory, reading and writing counted together."""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ...isolation.worker import serve

BYTES, REPEATS = 1 << 28, 8


def measure(request: dict, say: Callable[[str], None]) -> dict:
    """Copies `BYTES` on {"threads"}; returns {"copy_bytes_per_second"}, the best of several."""
    say("copy")
    threads = request["threads"]
    source = np.ones(request.get("bytes", BYTES) // 4, np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads)))
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(REPEATS):
            started = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(*pair), parts))
            best = min(best, time.perf_counter() - started)
    return {"copy_bytes_per_second": 2 * source.nbytes / best}


if __name__ == "__main__":
    sys.exit(serve(measure))
