"""A grid whose clients are functions of this process, and a model that such clients share."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from pocketllm.runtime.data.batches import Batch
from pocketllm.runtime.data.dataset import Dataset
from pocketllm.runtime.engine.model import Model
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal.reader import Journal
from pocketllm.runtime.run.folder import RunConfig

from ..answering import Client, answer, batches_at
from ..replica import Batches, Replica


class InProcess:
    """A Grid (terms.py) that calls its clients one after the other."""

    def __init__(
        self,
        clients: Mapping[int, Callable[[bytes], bytes]],
        asking: Callable[[Collection[int]], None] = lambda clients: None,
    ):
        """Takes what answers for each client.

        Args:
          clients: {number: what answers a question}.
          asking: told which clients are asked, before any of them is.
        """
        self._clients, self._asking = clients, asking

    def clients(self) -> Collection[int]:
        """Returns all of them."""
        return self._clients.keys()

    def ask(
        self, questions: Mapping[int, bytes], wanted: Callable[[int, bytes], bool], seconds: float
    ) -> None:
        """Asks every client, until no more answers are wanted."""
        self._asking(questions.keys())
        for client, question in questions.items():
            try:
                data = self._clients[client](question)
            except InputError:
                continue  # as if it had not answered
            if not wanted(client, data):
                return


class SharedModel:
    """A model at which the clients of a process measure side by side, each loss to the bit.

    All of them stand at the same step. So its parameters are brought there, and moved along a
    direction and back, once for all clients that are asked, and not for each of them again.
    """

    def __init__(self, model: Model):
        """Takes a model at the bundle's initial values."""
        self._replica = Replica(model, resident=True)
        self._data: dict[int, Dataset] = {}
        self._asked: list[int] = []
        self._at: tuple[Path, Journal, Callable] | None = None
        self._seals: dict[int, bytes] = {}
        self._losses: dict[tuple[int, tuple[int, ...]], list[float]] = {}

    def seat(self, client: int, data: Dataset) -> Replica:
        """Returns the replica of a client, for `Client`.

        Args:
          client: its number, as InProcess has it.
          data: its examples.
        """
        self._data[client] = data
        return _Seat(self, client, self._replica.model)

    def asking(self, clients: Collection[int]) -> None:
        """Takes the clients that are asked now, for InProcess."""
        self._asked = list(clients)

    def bring(self, folder: Path, journal: Journal, say: Callable[[str], None]) -> None:
        """Takes the journal to whose last step the model is to go."""
        if self._at is None or self._at[1].checksums[-1] != journal.checksums[-1]:
            self._seals, self._losses = {}, {}
        self._at = folder, journal, say

    def seal(self, number: int) -> bytes:
        """Returns what Replica.seal does."""
        if number not in self._seals:
            self._stand()
            self._seals[number] = self._replica.seal(number)
        return self._seals[number]

    def losses(self, client: int, config: RunConfig, numbers: Sequence[int]) -> list[float]:
        """Returns a client's losses of steps; measures those of all that are asked."""
        steps = tuple(numbers)
        if (client, steps) not in self._losses:
            self._stand()
            others = (other for other in self._asked if (other, steps) not in self._losses)
            measured = self._measured(list(dict.fromkeys([client, *others])), config, steps)
            self._losses |= {
                (each, steps): losses
                for each, losses in measured.items()
                if all(map(math.isfinite, losses))  # others find out in their own turn
            }
        return self._losses[client, steps]

    def _stand(self):
        assert self._at
        self._replica.bring(*self._at)

    def _measured(self, clients, config, steps):
        """Returns {client: losses}. Raises LossError if the first one's are not finite."""
        bundle = self._replica.model.bundle
        losses: dict[int, list[float]] = {client: [] for client in clients}
        minibatches: dict[int, Sequence[Batch]] = {}

        def first_batches(step):
            for client in clients:
                minibatches[client] = batches_at(self._data[client], bundle, config, step)
            return minibatches[clients[0]]

        def first_loss(batches):
            for client in clients:
                losses[client].append(self._replica.model.loss(minibatches[client]))
            return losses[clients[0]][-1]

        self._replica.measure(config, steps, first_batches, first_loss)
        return losses


class _Seat(Replica):
    """A client's replica whose model is shared."""

    def __init__(self, shared: SharedModel, client: int, model: Model):
        super().__init__(model)
        self._shared, self._client = shared, client

    def bring(self, folder: Path, journal: Journal, say=lambda line: None) -> None:
        """Takes the journal to whose last step the model is to go."""
        self._shared.bring(folder, journal, say)

    def seal(self, number: int) -> bytes:
        """Returns SEAL_BYTES over a slice of the parameters there."""
        return self._shared.seal(number)

    def measure(
        self,
        config: RunConfig,
        numbers: Sequence[int],
        batches_of: Batches,
        loss_of: Callable[[Sequence[Batch]], float] | None = None,
    ) -> list[float]:
        """Returns the losses of steps on the client's data, without any of `loss_of`."""
        assert loss_of is None, "samples of a private run are each client's own"
        return self._shared.losses(self._client, config, numbers)


def grid_of(
    model: Model,
    parts: Sequence[Dataset],
    folder: Path,
    say: Callable[[str], None] = lambda line: None,
    *,
    apart: bool = False,
    altered: Callable[[int, bytes], bytes] = lambda client, data: data,
) -> InProcess:
    """Returns clients 1, 2, … of this process, on one model.

    Args:
      model: at the bundle's initial values.
      parts: the data of each client.
      folder: for their run directories.
      say: told what clients refuse.
      apart: whether each measures by itself, as a private run's clients must.
      altered: alters a client's answer, for experiments.
    """
    shared, alone = SharedModel(model), Replica(model, resident=True)
    clients = {}
    for number, data in enumerate(parts, 1):
        replica = alone if apart else shared.seat(number, data)
        clients[number] = Client(folder / f"{number:04}", replica, data, say=say)

    def answering(number, question):
        return altered(number, answer(clients[number], question))

    return InProcess({n: partial(answering, n) for n in clients}, shared.asking)
