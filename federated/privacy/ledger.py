"""`privacy.jsonl` in a run directory: every release, written before it leaves.

What was released once is sent again as it is, which costs nothing, so a restart spends nothing.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import sync_folder
from pocketllm.runtime.host.typed_json import typed

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
        data = self._path.read_bytes()
        lines = data.split(b"\n")
        for number, line in enumerate(lines[:-1], 1):
            try:
                self._releases.append(typed(Release, json.loads(line)))
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{self._path}: line {number} is damaged ({error}); what was spent cannot be "
                    "known: restore the file, or choose another --run"
                ) from error
        if lines[-1]:  # torn: nothing of it left this machine
            os.truncate(self._path, len(data) - len(lines[-1]))

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
        lines = b"".join(json.dumps(asdict(release)).encode() + b"\n" for release in releases)
        try:
            is_new = not self._path.exists()
            with open(self._path, "ab", buffering=0) as file:
                if file.write(lines) < len(lines):
                    raise OSError(28, "no space left")
                os.fsync(file.fileno())
            if is_new:
                sync_folder(self._path.parent)
        except OSError as error:
            raise RunError(
                f"{self._path}: cannot be written: {error.strerror}; free some space and run the "
                "same command again: it goes on"
            ) from error
        self._releases += releases

    def begin(self) -> None:
        """Makes the file of a run in which nothing was released."""
        self.add()
