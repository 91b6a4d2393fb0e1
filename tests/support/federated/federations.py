"""Federations of real models in this process, on the committed bundle or an exported one."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from pocketllm.federated.answering import Client, answer
from pocketllm.federated.replica import Replica
from pocketllm.federated.rounds import serve
from pocketllm.federated.simulation.in_process import InProcess
from pocketllm.federated.steps import NO_DATA
from pocketllm.federated.terms import Terms
from pocketllm.runtime.data.dataset import Dataset

ALL = Terms(quorum=1.0, seconds=60.0, patience=5)  # every client answers every round


def parts_of(data: Dataset, count: int, examples: int) -> list[Dataset]:
    """Returns so many parts of equal size, no example in two."""
    assert count * examples <= len(data.examples)
    return [
        replace(data, examples=data.examples[i * examples : (i + 1) * examples])
        for i in range(count)
    ]


def client_of(folder: Path, model, data: Dataset, **changes) -> Client:
    """Returns a client whose model is its own."""
    return Client(folder, Replica(model, resident=True), data, **changes)


def run_federation(folder: Path, config, clients: list[Client], terms: Terms = ALL) -> Path:
    """Runs a federation to its end; returns the server's run directory."""
    grid = InProcess({n: partial(answer, client) for n, client in enumerate(clients, 1)})
    served = serve(folder, replace(config, train_sha256=NO_DATA), terms, grid)
    assert served.last_step == config.settings.steps
    return folder
