"""Worker: the machine's own float32 matrix-multiply rate, with numpy's and torch's library."""

import sys
import time

import numpy as np

from ...isolation.worker import serve

SIZE = 2048
REPEATS = 12


def measure(request: dict, report) -> dict:
    """Measures both libraries with `threads` threads, `size` or SIZE; see worker.serve.

    The environment has told numpy's library its threads, see worker.run_worker.
    """
    size = request.get("size", SIZE)
    left, right = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
    out = np.empty_like(left)
    report("numpy")
    rates = {"numpy_gflops": _rate(lambda: np.matmul(left, right, out=out), size)}
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(request["threads"])
        a, b, c = (torch.from_numpy(matrix) for matrix in (left, right, out))
        report("torch")
        rates["torch_gflops"] = _rate(lambda: torch.matmul(a, b, out=c), size)
    return rates | {"size": size, "gflops": max(rates.values())}


def _rate(multiply, size):
    """Returns the best GFLOP/s of several products of [size, size] matrices."""
    best_seconds = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        multiply()
        best_seconds = min(best_seconds, time.perf_counter() - started)
    return 2 * size**3 / best_seconds / 1e9


if __name__ == "__main__":
    sys.exit(serve(measure))
