"""Progress of long work: a bar on a terminal, a plain line every 10 s elsewhere."""

import sys
import time

from tqdm import tqdm

from . import signals

LINE_SECONDS = 10.0


class Progress:
    """A context manager; `advance` counts units, `say` prints lines."""

    def __init__(self, what: str, total: int | None, unit: str = "it", scale: bool = False):
        """Starts at 0 of `total` units; `scale` abbreviates with k, M, G.

        None is for unknown; with 0 the bar appears when `advance` says how many there are.
        """
        self._what, self._total, self._done, self._unit = what, total, 0, unit
        self._bar, self._scale = None, scale
        self._next_line = time.monotonic() + LINE_SECONDS
        if total != 0:
            self._show()

    def _show(self):
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=self._total,
                desc=self._what,
                unit=self._unit,
                unit_scale=self._scale,
                file=sys.stderr,
                leave=False,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    def advance(self, units: int = 1, note: str = "", total: int | None = None) -> None:
        """Counts units; `note` is shown behind the bar. Raises KeyboardInterrupt after a signal.

        A `total` that is known only now takes the place of the first one.
        """
        signals.check()
        self._done += units
        if total is not None and total != self._total:
            self._total = total
            if self._bar is None:
                self._show()
            else:
                self._bar.reset(total)
        if self._bar is not None:
            self._bar.update(units)
            if note:
                self._bar.set_postfix_str(note)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            count = f"{self._done} {self._unit}s"
            if self._total is not None:
                count = f"{100 * self._done // max(1, self._total)}%"
            print(f"{self._what}: {count} {note}".rstrip(), file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """Prints a line on stdout above the bar. Raises KeyboardInterrupt after a signal."""
        signals.check()
        if self._bar is not None:
            tqdm.write(line, file=sys.stdout)
        else:
            print(line, flush=True)
