"""A limit of processor time: a template is a stranger's program, which may never end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pocketllm.runtime.errors import InputError


class _TimeUp(BaseException):
    """The time is over; no `except Exception` of a library takes it."""


@contextmanager
def processor_seconds(limit: float) -> Iterator[None]:
    """Ends what runs inside after `limit` seconds of processor time; in the main thread alone.

    Raises:
      InputError: it took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        raise _TimeUp

    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, limit)
        yield
    except _TimeUp as error:
        raise InputError(f"it runs for more than {limit:g} s") from error
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
