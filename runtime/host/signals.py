"""Deferred signals: SIGINT (Ctrl-C) and SIGTERM end a command the same way, and are never lost.

A KeyboardInterrupt that is raised inside a library's callback may be swallowed there; the next
`check` raises it again.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_arrived = _deferring = False


def install() -> None:
    """Makes both signals raise KeyboardInterrupt, and forgets those that arrived."""
    global _arrived, _deferring
    _arrived = _deferring = False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)


def check() -> None:
    """Raises KeyboardInterrupt if a signal arrived; called between stages of long work."""
    if _arrived:
        raise KeyboardInterrupt


def clear() -> None:
    """Forgets a signal that was answered: what follows can be written, and the next one ends it."""
    global _arrived
    _arrived = False


@contextmanager
def caught() -> Iterator[Callable[[], bool]]:
    """Catches the first signal; the yielded function tells whether it arrived.

    A second signal raises KeyboardInterrupt, at any line.
    """
    global _deferring
    before, _deferring = _deferring, True
    try:
        yield lambda: _arrived
    finally:
        _deferring = before


@contextmanager
def deferred() -> Iterator[None]:
    """Defers the first signal to the next `check`, or to the end of the block.

    For a block that must not be left at any line. A second signal is not deferred.
    """
    with caught():
        yield
    check()


def _handle(*_):
    global _arrived
    repeated, _arrived = _arrived, True
    if repeated or not _deferring:
        raise KeyboardInterrupt
