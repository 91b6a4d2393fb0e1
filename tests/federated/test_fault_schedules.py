"""A thousand seeded schedules of faults: a client's journal stays a beginning of the server's."""

import os
import random
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from faults import CLIENT_FAULTS, MESSAGE_FAULTS, FaultyGrid
from small_runs import Stop
from stand_ins import config, terms, vector_after, vector_client

from pocketllm.federated.journal_part import read_part
from pocketllm.federated.rounds import serve
from pocketllm.federated.simulation.in_process import InProcess
from pocketllm.federated.terms import Watcher
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal.reader import JOURNAL, read_journal

SCHEDULES, TOGETHER = 1000, 100
STEPS = 4


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    """A schedule kills no power: what is written is there."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def short_folder(tmp_path):
    """A folder in memory where there is one: a thousand small runs write many small files."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)


def crashing_client(folder, crash):
    """A client that may crash when it measures: its journal is continued by then."""

    def lie(losses):
        crash()
        return losses

    return vector_client(folder, target=1.0 + len(folder.name), lie=lie)


def run_schedule(folder, seed):
    """Runs a federation through faults, the server's kills among them; returns what happened."""
    rng = random.Random(seed)
    folders = {n: folder / f"client-{'x' * n}" for n in range(1, 4)}
    rule = terms(patience=0, least=rng.choice((1, 1, 2)), round_steps=rng.choice((1, 1, 2, 3)))
    grid = FaultyGrid(folders, crashing_client, seed, share=rng.choice((0.05, 0.15, 0.3)))

    def stepped(step):
        check_prefixes(folder / "server", folders.values())
        if rng.random() < 0.15:
            grid.events.append("server killed")
            raise Stop

    while True:
        try:
            served = serve(
                folder / "server", config(STEPS), rule, grid, watcher=Watcher(stepped=stepped)
            )
        except Stop:
            continue
        assert served.last_step == STEPS
        return grid.events, folders


def check_prefixes(server, folders):
    """Asserts that every client's sound steps are the server's, and lead to the same parameters."""
    whole = (server / JOURNAL).read_bytes()
    ends = read_journal(server / JOURNAL).ends
    for folder in folders:
        try:
            journal = read_journal(folder / JOURNAL) if (folder / JOURNAL).exists() else None
        except InputError:
            continue  # harmed, and not asked since: `recovered` reads it as the client does
        if journal is None:
            continue
        count = len(journal.steps)
        assert (folder / JOURNAL).read_bytes()[: journal.ends[count]] == whole[: ends[count]]


def recovered(folder, folders):
    """Asks every client, without faults, until all three answer: then all have caught up."""
    clients = InProcess({n: vector_client(path, 1.0) for n, path in folders.items()})
    serve(folder / "server", config(STEPS + 1), terms(patience=4, least=3), clients)


@pytest.mark.parametrize("first", range(0, SCHEDULES, TOGETHER))
def test_after_any_faults_journals_are_the_servers_and_parameters_equal(first, short_folder):
    happened = Counter()
    for seed in range(first, first + TOGETHER):
        folder = short_folder / str(seed)
        events, folders = run_schedule(folder, seed)
        happened.update(events)
        recovered(folder, folders)
        check_prefixes(folder / "server", folders.values())
        steps = read_journal(folder / "server" / JOURNAL).steps
        assert len(steps) == STEPS + 1
        expected = vector_after(steps[:STEPS]).values.tobytes()
        for path in folders.values():
            part = read_part(path)
            assert part is not None and len(part.steps) == STEPS, "asked, it has all before"
            assert vector_after(part.steps).values.tobytes() == expected

    assert happened.keys() >= {*MESSAGE_FAULTS, *CLIENT_FAULTS, "server killed"}
