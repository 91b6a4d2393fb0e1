"""Ctrl-C and SIGTERM end a command the same way, and are not lost.

A KeyboardInterrupt that is raised inside a library's callback may be swallowed there; the next
`check` raises it again.
"""

import signal

_asked = False


def install() -> None:
    """Makes both signals raise KeyboardInterrupt."""
    global _asked
    _asked = False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def check() -> None:
    """Raises KeyboardInterrupt if one of the signals came; called between stages of long work."""
    if _asked:
        raise KeyboardInterrupt


def _stop(*_):
    global _asked
    _asked = True
    raise KeyboardInterrupt
