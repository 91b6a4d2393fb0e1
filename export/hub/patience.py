"""Requests that are made again, after a moment, where a server fails: a busy one answers 503."""

import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

TRIES = 3
SECONDS = 1.0  # between them
PASSING = (500, 502, 503, 504)  # statuses that another try may not see

T = TypeVar("T")


def patiently(request: Callable[[], T]) -> T:
    """Returns what a request does; raises its error after TRIES of them, other errors at once."""
    for _ in range(TRIES - 1):
        try:
            return request()
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            if not is_passing(error):
                raise
            time.sleep(SECONDS)
    return request()


def is_passing(error: BaseException | None) -> bool:
    """Whether a server failed; the library raises another error over some of its answers."""
    if isinstance(error, LocalEntryNotFoundError):
        error = error.__cause__
    return isinstance(error, HfHubHTTPError) and error.response.status_code in PASSING
