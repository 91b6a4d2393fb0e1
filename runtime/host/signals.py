"""Ctrl-C and SIGTERM end a command the same way, and are not lost.

A KeyboardInterrupt that is raised inside a library's callback may be swallowed there; the next
`check` raises it again.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_asked = _waiting = False


def install() -> None:
    """Makes both signals raise KeyboardInterrupt."""
    global _asked, _waiting
    _asked = _waiting = False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def check() -> None:
    """Raises KeyboardInterrupt if one of the signals came; called between stages of long work."""
    if _asked:
        raise KeyboardInterrupt


@contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Lets a first signal through to whoever asks what this yields: whether one came.

    A second signal raises KeyboardInterrupt, at any line.
    """
    global _waiting
    before, _waiting = _waiting, True
    try:
        yield lambda: _asked
    finally:
        _waiting = before


@contextmanager
def postponed() -> Iterator[None]:
    """Lets a signal wait for the next `check`, or the end, of what must not be left at any line.

    A second signal does not wait.
    """
    with noticed():
        yield
    check()


def _stop(*_):
    global _asked
    again, _asked = _asked, True
    if again or not _waiting:
        raise KeyboardInterrupt
