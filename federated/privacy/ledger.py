"""`privacy.jsonl` in a run directory: every release, written before it leaves.

What was released once is sent again as it is, which costs nothing, so a restart spends nothing.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ..durable_lines import append_lines, read_lines

LEDGER = "privacy.jsonl"


@dataclass(frozen=True)
class Release:
    """Numbers that left with noise, or a count of those of which nothing is known.

    Attributes:
      step: the first that they belong to.
      at: checksum of the journal before the round: the parameters they were measured at.
      values: projected gradients.
      times: releases that this stands for.
    """

    step: int
    at: int
    values: tuple[float, ...] = ()
    times: int = 1


class Ledger:
    """The releases of a run directory."""

    def __init__(self, folder: Path):
        """Reads them.

        Raises:
          InputError: a line is damaged.
        """
        self._path = Path(folder) / LEDGER
        self._releases: list[Release] = []
        if not self._path.exists():
            return
        remedy = "what was spent cannot be known: restore the file, or choose another --run"
        read = list(read_lines(self._path, Release, remedy))
        self._releases = [release for release, _ in read]
        end = read[-1][1] if read else 0
        if end < self._path.stat().st_size:  # a torn line: nothing of it left this machine
            os.truncate(self._path, end)

    @property
    def spent(self) -> int:
        """The number of releases."""
        return sum(release.times for release in self._releases)

    def known(self, step: int, at: int, count: int) -> tuple[float, ...] | None:
        """Returns what was released for a step at these parameters, None where nothing was."""
        for release in reversed(self._releases):
            if (release.step, release.at, len(release.values)) == (step, at, count):
                return release.values
        return None

    def add(self, *releases: Release) -> None:
        """Writes releases to the disk; none may leave before.

        Raises:
          RunError: the disk is full or read-only.
        """
        append_lines(self._path, *releases)
        self._releases += releases

    def begin(self) -> None:
        """Makes the file of a run in which nothing was released."""
        self.add()
