"""Client level: the server, which clients trust for it, samples clients and adds the noise."""

from collections.abc import Collection, Sequence
from pathlib import Path

from .ledger import Ledger, Release
from .noise import bounded_vector, mean_with_noise, sampled
from .plan import Plan, SpentError


class Central:
    """The server's side of a plan of the client level."""

    def __init__(self, folder: Path, plan: Plan):
        """Reads what the run directory has released."""
        self._plan, self._ledger = plan, Ledger(folder)

    def chosen(self, clients: Sequence[int]) -> list[int]:
        """Draws the clients of a round, each by itself: there may be none."""
        return [clients[place] for place in sampled(len(clients), self._plan.sampling_rate)]

    def known(self, first: int, count: int, at: int) -> tuple[float, ...] | None:
        """Returns what was released for a round before a kill, None where nothing was.

        Args:
          first: step of the round.
          count: of its steps.
          at: checksum of the journal before it.

        Raises:
          SpentError: nothing, and nothing more may be.
        """
        values = self._ledger.known(first, at, count)
        if values is None and self._ledger.spent >= self._plan.releases:
            raise SpentError(f"all {self._plan.releases} releases are spent")
        return values

    def release(
        self, first: int, count: int, at: int, vectors: Collection[Sequence[float]]
    ) -> tuple[float, ...]:
        """Returns the noised mean of the clients' projected gradients of a round.

        It is divided by how many clients are expected: how many came is nobody's business.
        """
        plan = self._plan
        rows = [bounded_vector(vector, plan.clip) for vector in vectors]
        std, expected = plan.noise_multiplier * plan.clip, plan.sampling_rate * plan.members
        values = tuple(
            mean_with_noise([row[place] for row in rows], expected, std, plan.clip)
            for place in range(count)
        )
        self._ledger.add(Release(first, at, values))
        return values
