"""Worker: the machine's own float32 matrix-multiply rate, with numpy's and torch's library."""

import sys
import time

import numpy as np

from .worker import serve

SIZE = 2048
REPEATS = 12


def measure(request: dict, report) -> dict:
    """Measures both libraries with `threads` threads; see worker.serve.

    The environment has told numpy's library its threads, see worker.run_worker.
    """
    left, right = np.random.default_rng(0).standard_normal((2, SIZE, SIZE), np.float32)
    out = np.empty_like(left)
    report("numpy")
    rates = {"numpy_gflops": _rate(lambda: np.matmul(left, right, out=out))}
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(request["threads"])
        a, b, c = (torch.from_numpy(matrix) for matrix in (left, right, out))
        report("torch")
        rates["torch_gflops"] = _rate(lambda: torch.matmul(a, b, out=c))
    return rates | {"size": SIZE, "gflops": max(rates.values())}


def _rate(multiply):
    """Returns the best GFLOP/s of several products of [SIZE, SIZE] matrices."""
    best_seconds = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        multiply()
        best_seconds = min(best_seconds, time.perf_counter() - started)
    return 2 * SIZE**3 / best_seconds / 1e9


if __name__ == "__main__":
    sys.exit(serve(measure))
