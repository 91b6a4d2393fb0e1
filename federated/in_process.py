"""A grid whose clients are functions of this process: for `simulate` and the tests."""

from collections.abc import Callable, Collection, Mapping

from pocketllm.runtime.errors import InputError


class InProcess:
    """A Grid (terms.py) that calls its clients one after the other."""

    def __init__(self, clients: Mapping[int, Callable[[bytes], bytes]]):
        """Takes {number: what answers a question}."""
        self._clients = clients

    def clients(self) -> Collection[int]:
        """Returns all of them."""
        return self._clients.keys()

    def ask(
        self, questions: Mapping[int, bytes], wanted: Callable[[int, bytes], bool], seconds: float
    ) -> None:
        """Asks every client, until no more answers are wanted."""
        for client, question in questions.items():
            try:
                data = self._clients[client](question)
            except InputError:
                continue  # as if it had not answered
            if not wanted(client, data):
                return
