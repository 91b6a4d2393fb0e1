"""A grid that loses, doubles, delays and reorders messages, and harms its clients, by a seed."""

import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from pocketllm.federated.protocol import LOSSES, Answer, pack_answer, read_answer
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.journal.reader import JOURNAL

MESSAGE_FAULTS = ("lost question", "lost answer", "late answer", "twice", "garbage", "lie")
CLIENT_FAULTS = ("crash", "wiped", "cut", "flipped", "shared disk")


class Crash(Exception):
    """A client's process ended in the middle of its work."""


class FaultyGrid:
    """A Grid (terms.py) of clients in this process, to whom things happen."""

    def __init__(self, folders: dict[int, Path], make: Callable, seed: int, share: float):
        """Makes the clients.

        Args:
          folders: number -> run directory.
          make: (folder, crash) -> what answers a question; calls crash() when it measures.
          seed: of what happens.
          share: of the messages to which something happens.
        """
        self._rng, self._share, self._folders = random.Random(seed), share, folders
        self._crashing = False
        self._answering = {n: make(folder, self._crash) for n, folder in folders.items()}
        self._late: list[tuple[int, bytes]] = []
        self.events: list[str] = []

    def clients(self):
        """Returns those that are there now: at times one is not."""
        present = [n for n in self._folders if self._rng.random() > self._share / 4]
        return present or list(self._folders)

    def ask(self, questions, wanted, seconds):
        """Carries the questions, in any order, with what happens on the way."""
        coming = self._late + [(n, self._answer(n, data)) for n, data in questions.items()]
        self._late = []
        self._rng.shuffle(coming)
        for client, data in coming:
            if data is None:
                continue
            if self._happens("late answer"):
                self._late.append((client, data))
            elif not wanted(client, data):
                return

    def _answer(self, client, question):
        if self._happens("lost question"):
            return None
        for fault in CLIENT_FAULTS[1:]:
            if self._happens(fault, 0.1):
                self._harm(client, fault)
        self._crashing = self._happens("crash", 0.5)
        if self._happens("twice"):
            self._answer_once(client, question)
        data = self._answer_once(client, question)
        return None if data is None or self._happens("lost answer") else self._altered(data)

    def _answer_once(self, client, question):
        try:
            return self._answering[client](question)
        except (Crash, InputError):
            return None

    def _altered(self, data):
        if self._happens("garbage", 0.5):
            return self._rng.randbytes(self._rng.randrange(80))
        if self._happens("lie", 0.5):
            answer = read_answer(data)
            lie = self._rng.choice((float("nan"), 1e30, -7.0, struct.unpack("<d", b"\xff" * 8)[0]))
            steps = self._rng.choice((answer.steps, 0, 1_000_000))
            losses = (lie,) * max(2, len(answer.losses))
            return pack_answer(Answer(LOSSES, answer.attempt, steps, losses=losses))
        return data

    def _harm(self, client, fault):
        folder = self._folders[client]
        path = folder / JOURNAL
        if not path.exists():
            return
        if fault == "wiped":
            shutil.rmtree(folder)
            return
        data = bytearray(path.read_bytes())
        if fault == "cut":
            path.write_bytes(data[: self._rng.randrange(len(data))])
        elif fault == "flipped":
            data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)
            path.write_bytes(data)
        else:  # an older copy of the folder comes back, another client's
            other = self._rng.choice(list(self._folders.values()))
            if other != folder and (other / JOURNAL).exists():
                shutil.copy(other / JOURNAL, path)

    def _crash(self):
        if self._crashing:
            self._crashing = False
            raise Crash

    def _happens(self, event, weight=1.0):
        if self._rng.random() >= self._share * weight:
            return False
        self.events.append(event)
        return True
