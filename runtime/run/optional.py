"""Files that a run can do without: what cannot be written or read is said, and the run goes on."""

from collections.abc import Callable

from ..errors import InputError, RunError


class OptionalWrites:
    """Tries such writes; what the disk, or what stands in the way, says is passed over."""

    def __init__(self, say: Callable[[str], None]):
        """`say` is told of each kind of write that fails, the first time."""
        self._say, self._failing = say, set()

    def attempt(self, kind: str, write: Callable[[], None]) -> bool:
        """Writes; returns whether that went well.

        Args:
          kind: what is written, in the plural.
          write: raises RunError, with an OSError as its cause, where the disk fails or is full,
            and InputError where something else stands in the file's place.
        """
        try:
            write()
        except (InputError, RunError) as error:
            is_input = isinstance(error, InputError)
            if not is_input and not isinstance(error.__cause__, OSError):
                raise
            if kind not in self._failing:
                self._failing.add(kind)
                until = "it is gone" if is_input else "there is space"
                self._say(f"{problem_of(error)}; the run goes on without {kind} until {until}")
            return False
        return True


def problem_of(error: Exception) -> str:
    """Returns what an error's message says without its end, what to do."""
    return str(error).rpartition("; ")[0] or str(error)


def passed_over(error: Exception) -> str:
    """Returns the line for an optional file that cannot be read."""
    return f"{problem_of(error)}; passed over, and written anew with what is known now"
