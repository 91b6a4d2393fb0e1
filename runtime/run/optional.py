"""Writes that a run can do without: what has no space is said once, and the run goes on."""

from collections.abc import Callable

from ..errors import RunError


class OptionalWrites:
    """Tries such writes; only the disk's own errors are passed over."""

    def __init__(self, say: Callable[[str], None]):
        """`say` is told of each kind of write that fails, the first time."""
        self._say, self._failing = say, set()

    def attempt(self, kind: str, write: Callable[[], None]) -> bool:
        """Writes; returns whether that went well.

        Args:
          kind: what is written, in the plural.
          write: raises RunError, with an OSError as its cause, where the disk fails or is full.
        """
        try:
            write()
        except RunError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            if kind not in self._failing:
                self._failing.add(kind)
                problem = str(error).split(";")[0]
                self._say(f"{problem}; the run goes on without {kind} until there is space")
            return False
        return True
