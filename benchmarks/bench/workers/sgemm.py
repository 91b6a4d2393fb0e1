"""Worker: the machine's rate of float32 matrix products, by the libraries of numpy and torch."""

import sys
import time
from collections.abc import Callable

import numpy as np

from ...isolation.worker import serve

SIZE = 2048
REPEATS = 12


def measure(request: dict, say: Callable[[str], None]) -> dict:
    """Measures both libraries; see worker.serve.

    Args:
      request: {"threads", and rows of the matrices as "size", SIZE if absent}. numpy's library
        has its threads from the environment, see worker.run_worker.
      say: takes the name of each stage.

    Returns:
      {"numpy_gflops", "torch_gflops" if torch is installed, "size", "gflops": the larger rate}.
    """
    size = request.get("size", SIZE)
    left, right = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
    out = np.empty_like(left)
    say("numpy")
    rates = {"numpy_gflops": _rate(lambda: np.matmul(left, right, out=out), size)}
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(request["threads"])
        a, b, c = (torch.from_numpy(matrix) for matrix in (left, right, out))
        say("torch")
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
