"""Which clients of a federation refuse, and why; the run ends where nobody else is left."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from pocketllm.runtime.errors import InputError

from .terms import TooFewAnswersError

MOST_LINES = 3  # that are said of a client; it chooses the words, and may change them each time


class Refusals:
    """The clients whose last answer could not be used, for a reason that waiting does not mend."""

    def __init__(self, say: Callable[[str], None], useful: Collection[int]):
        """Begins without any.

        Args:
          say: told of each refusal, once.
          useful: clients whose numbers were used before: while one of them is away, the run waits.
        """
        self._say, self._useful = say, set(useful)
        self._reasons: dict[int, str] = {}
        self._failing: set[int] = set()  # of these, those that refuse nothing and have no numbers
        self._notices: set[str] = set()
        self._lines: Counter[int] = Counter()
        self._rounds, self._has_more = 0, False

    def __contains__(self, client: int) -> bool:
        return client in self._reasons

    def add(self, client: int, reason: str, *, is_failure: bool = False) -> None:
        """Takes a refusal, or numbers that cannot be used.

        Args:
          client: its number.
          reason: in words.
          is_failure: whether the client would answer, and finds no numbers.
        """
        self._reasons[client], self._has_more = reason, True
        (self._failing.add if is_failure else self._failing.discard)(client)
        self._say_once(client, f"client {client}: not used: {reason}")

    def forget(self, client: int) -> None:
        """Takes an answer that refuses nothing."""
        self._reasons.pop(client, None)
        self._failing.discard(client)

    def use(self, client: int) -> None:
        """Takes numbers that are used."""
        self.forget(client)
        self._useful.add(client)
        self._rounds = 0

    def compare(self, seals: Mapping[int, bytes]) -> None:
        """Says which clients' parameters are not those of most.

        Args:
          seals: client -> SEAL_BYTES over its parameters, in a round.
        """
        counts = Counter(seals.values())
        for client, seal in seals.items():
            if seal != counts.most_common(1)[0][0]:
                self._say_once(
                    client, f"warning: client {client}: its parameters are not the others'"
                )

    def check(self, folder: Path, connected: Collection[int], most: int) -> None:
        """Ends a run that no answer can come to, behind a round without enough answers.

        A client that is silent may still answer, and so may one that was useful and is away.

        Args:
          folder: the run directory.
          connected: clients that are there.
          most: rounds in a row in which all of them refuse; 0: any number.

        Raises:
          InputError: there were so many.
          TooFewAnswersError: the same, and no client has numbers.
        """
        everybody = {*connected, *self._useful}
        is_stuck = self._has_more and everybody <= self._reasons.keys()
        self._rounds, self._has_more = (self._rounds + 1 if is_stuck else 0), False
        if not most or self._rounds < most:
            return
        client, reason = min(self._reasons.items())
        others = len(self._reasons) - 1
        failed = len(self._failing) == len(self._reasons)
        raise (TooFewAnswersError if failed else InputError)(
            f"{folder}: all clients refuse, {self._rounds} rounds in a row; client {client}: "
            f"{reason}{f' ({others} more: see above)' if others else ''}; look at the clients, and "
            "run the same command again"
        )

    def _say_once(self, client, line):
        """Says a line about a client, unless it was said, or MOST_LINES were."""
        if line not in self._notices and self._lines[client] < MOST_LINES:
            self._notices.add(line)
            self._lines[client] += 1
            self._say(line)
