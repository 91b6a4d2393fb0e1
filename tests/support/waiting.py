"""Waiting for what another process does: no test depends on how long that takes."""

import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 60.0  # for anything that is waited for, on a busy machine

Value = TypeVar("Value")


def wait_until(condition: Callable[[], Value], expected: str, seconds: float = SECONDS) -> Value:
    """Returns the condition's first value that is true.

    Args:
      condition: called again and again.
      expected: what is waited for, in words.
      seconds: longest wait.

    Raises:
      AssertionError: it did not come.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {expected}"
        time.sleep(0.02)
    return value
