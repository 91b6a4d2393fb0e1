"""Peak memory of this process, sampled from /proc/self.

Two figures: the highest RssAnon + RssShmem (pages that cannot be dropped) and the highest VmHWM
(all resident pages, clean file pages included).
"""

import threading
from dataclasses import dataclass

SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Peak:
    """Peak memory in bytes (0 where the system has no /proc)."""

    anon_bytes: int
    rss_bytes: int


class PeakMemory:
    """Samples from construction until `stop` or the end of a `with`, in a daemon thread."""

    def __init__(self):
        self._anon_bytes = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def peak(self) -> Peak:
        """Returns the highest values so far."""
        anon, rss = read_status()
        self._anon_bytes = max(self._anon_bytes, anon)
        return Peak(self._anon_bytes, rss)

    def stop(self) -> Peak:
        """Ends the sampling and returns the highest values."""
        self._stopped.set()
        self._thread.join()
        return self.peak()

    def _sample(self):
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.peak()


def read_status(process: int | str = "self") -> tuple[int, int]:
    """Returns a process's (RssAnon + RssShmem now, VmHWM) in bytes; zeros without /proc or it."""
    try:
        with open(f"/proc/{process}/status") as file:
            values = dict(line.split(":", 1) for line in file)
    except OSError:
        return 0, 0
    kilobytes = {name: int(value.split()[0]) for name, value in values.items() if "kB" in value}
    anon = kilobytes.get("RssAnon", 0) + kilobytes.get("RssShmem", 0)
    return anon * 1024, kilobytes.get("VmHWM", 0) * 1024
