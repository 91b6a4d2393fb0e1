"""A signal that a library swallowed still ends the command."""

import signal
from contextlib import suppress

from small_runs import python

from pocketllm.runtime.host import signals

SWALLOWING = """
import signal, sys
from pocketllm.runtime.host import signals
from pocketllm.runtime.host.progress import Progress

signals.install()
try:
    signal.raise_signal(signal.{name})
except KeyboardInterrupt:
    print("swallowed", flush=True)
with Progress("work", 10) as bar:
    try:
        bar.{move}
    except KeyboardInterrupt:
        sys.exit(3)
"""


def test_progress_raises_it_again():
    for name in ("SIGINT", "SIGTERM"):
        for move in ("advance()", "say('a line')"):
            done = python(SWALLOWING.format(name=name, move=move))
            assert (done.returncode, done.stdout) == (3, "swallowed\n"), done.stderr


DEFERRED = """
import signal, sys
from pocketllm.runtime.host import signals

signals.install()
try:
    with signals.deferred():
        signal.raise_signal(signal.{name})
        print("went on", flush=True)
        {then}
    print("left", flush=True)
except KeyboardInterrupt:
    sys.exit(3)
"""


def test_a_deferred_signal_waits_for_the_next_check_or_the_end():
    for name in ("SIGINT", "SIGTERM"):
        for then in ("pass", "signals.check(); print('passed')"):
            done = python(DEFERRED.format(name=name, then=then))
            assert (done.returncode, done.stdout) == (3, "went on\n"), done.stderr


def test_a_second_command_in_one_process_is_not_stopped_by_the_first_ones_signal(own_signals):
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signals.install()
    signals.check()
