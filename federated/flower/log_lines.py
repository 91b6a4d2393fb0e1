"""The lines that a process of Flower's writes to a log, for the command that started it."""

import os
from pathlib import Path


class LogLines:
    """A log from here on, each line of it once: a process that is started again repeats itself."""

    def __init__(self, path: Path):
        """Begins at the end of the log, which may not be there yet."""
        self._path, self._known = path, set[str]()
        self._place = os.path.getsize(path) if path.exists() else 0

    def new(self) -> list[str]:
        """Returns the whole lines that came, without those that were returned before."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._place)
                data = file.read()
        except FileNotFoundError:
            return []
        data = data[: data.rfind(b"\n") + 1]
        self._place += len(data)
        lines = dict.fromkeys(data.decode(errors="replace").splitlines())
        fresh = [line for line in lines if line and line not in self._known]
        self._known.update(fresh)
        return fresh
