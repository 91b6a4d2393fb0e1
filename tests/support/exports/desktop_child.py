"""Runs functions of the tests' modules in another process, which is replaced once it has grown.

The converter keeps memory of every export. In the tests' own process that adds up to gigabytes; a
child gives all of it back when it ends.
"""

import importlib
import os
import pickle
import subprocess
import sys
import traceback

# Resident; TensorFlow, torch and transformers are 0.9 GB of them, and take seconds to load again.
LEAST_BYTES = 1_600_000_000
SHARE = 4  # of a worker's part of the memory, one is its child's


def most_bytes() -> int:
    """Returns the resident memory at which a child is replaced."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(LEAST_BYTES, memory // (SHARE * workers))


class DesktopChild:
    """Calls functions by name; arguments and results are pickled.

    What a function raises is raised here.
    """

    def __init__(self):
        self._process = None

    def __call__(self, function: str, *arguments, **settings):
        """Runs `module.function` in the child, which is started if need be."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
        pickle.dump((function, arguments, settings), self._process.stdin)
        self._process.stdin.flush()
        try:
            result, error, resident = pickle.load(self._process.stdout)
        except EOFError:
            raise RuntimeError(f"the child died in {function}: {self._process.wait()}") from None
        if resident > most_bytes():
            self.close()
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Ends the child and waits for it."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()
            self._process = None


# One a worker; conftest.py closes it at the end.
in_child = DesktopChild()


def _serve() -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the replies
    while True:
        try:
            function, arguments, settings = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        result = error = None
        try:
            module, _, name = function.rpartition(".")
            result = getattr(importlib.import_module(module), name)(*arguments, **settings)
        except Exception as raised:
            traceback.print_exc()
            error = raised
        with open("/proc/self/statm") as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        pickle.dump((result, error, resident), replies)
        replies.flush()


if __name__ == "__main__":
    _serve()
