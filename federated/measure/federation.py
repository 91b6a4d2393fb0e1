"""Runs a federation of commands on this machine, and counts what its clients cost."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.errors import RunError
from pocketllm.runtime.host import signals

from ..flower.addresses import free_port
from ..flower.keys import write_keys
from ..round_lines import ROUNDS, Round, read_rounds
from .memory import anonymous_bytes
from .relay import Relay, Traffic

POLL_SECONDS = 0.2
JOIN_SECONDS = 300.0  # that SuperNodes may take to be there
LEARNING_RATE = 1e-6
DAY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Work:
    """What is measured.

    Attributes:
      bundle: its folder.
      data: training data, the same for every client.
      clients: their number, 2 or more.
      round_steps: steps a message.
      rounds: that are counted, behind a first one that is not.
      batch_size: examples a step and client.
      idle_seconds: how long clients are watched before there is anything to do.
      round_seconds: longest time of a round.
    """

    bundle: Path
    data: Path
    clients: int
    round_steps: int
    rounds: int
    batch_size: int
    idle_seconds: float
    round_seconds: float = 600.0


@dataclass(frozen=True)
class Cost:
    """What a round cost a client in the mean, and what waiting costs.

    Attributes:
      round_steps: steps a round.
      seconds: of a round.
      question_bytes, answer_bytes: payload of a round and client.
      up_bytes, down_bytes: on the wire from and to a client, with TLS, a round.
      connections: that a client opened, a round.
      idle_up_bytes, idle_down_bytes: on the wire in a day without questions.
      memory: program -> most of its processes' anonymous memory, bytes, of any client.
      largest_bytes: most anonymous memory of all processes of a client together.
    """

    round_steps: int
    seconds: float
    question_bytes: float
    answer_bytes: float
    up_bytes: float
    down_bytes: float
    connections: float
    idle_up_bytes: float
    idle_down_bytes: float
    memory: dict[str, int]
    largest_bytes: int


def measure(folder: Path, work: Work, say: Callable[[str], None] = lambda line: None) -> Cost:
    """Runs a server and clients until the rounds are there; returns what a client paid.

    Args:
      folder: empty; for keys, runs and what the commands print.
      work: what to run.
      say: told of what is being done.

    Raises:
      RunError: a command ended, or the clients did not come.
    """
    port = free_port()
    write_keys(folder / "creds", work.clients, [])
    with ExitStack() as stack:
        relays = [stack.enter_context(Relay(port)) for _ in range(work.clients)]
        running = _Commands(folder, work, port, relays)
        stack.callback(running.end)
        running.start_server()
        for number in range(work.clients - 1):
            running.start_client(number)
        say(f"waiting for {work.clients - 1} clients")
        running.wait(lambda: all(relay.traffic().down for relay in relays[:-1]), JOIN_SECONDS)
        running.pause(min(work.idle_seconds, 15.0))  # their first words are longer
        say(f"{work.clients - 1} clients wait for {work.idle_seconds:g} s")
        idle_relays, started = relays[:-1], time.monotonic()
        before = _total(idle_relays)
        running.pause(work.idle_seconds)
        idle, idle_seconds = _total(idle_relays) - before, time.monotonic() - started
        running.start_client(work.clients - 1)
        say(f"{work.rounds} rounds of {work.round_steps} steps")
        traffic, lines = _rounds(running, relays, work)
    shares, day = work.clients * len(lines), DAY_SECONDS / (idle_seconds * len(idle_relays))
    return Cost(
        work.round_steps,
        seconds=sum(line.seconds for line in lines) / len(lines),
        question_bytes=sum(line.sent for line in lines) / shares,
        answer_bytes=sum(line.received for line in lines) / shares,
        up_bytes=traffic.up / shares,
        down_bytes=traffic.down / shares,
        connections=traffic.connections / shares,
        idle_up_bytes=idle.up * day,
        idle_down_bytes=idle.down * day,
        memory=running.memory,
        largest_bytes=running.largest_bytes,
    )


def _rounds(running, relays, work) -> tuple[Traffic, list[Round]]:
    """Returns the traffic of the rounds behind the first, and their lines."""
    limit = work.round_seconds * (work.rounds + 1) + JOIN_SECONDS
    running.wait(lambda: len(running.lines()) >= 1, limit)
    first, before = len(running.lines()), _total(relays)
    running.wait(lambda: len(running.lines()) >= first + work.rounds, limit)
    traffic = _total(relays) - before
    return traffic, running.lines()[first:]


def _total(relays):
    return sum((relay.traffic() for relay in relays), Traffic())


class _Commands:
    """The commands of a federation, and the memory that the clients' processes take."""

    def __init__(self, folder: Path, work: Work, port: int, relays: list[Relay]):
        self.folder, self.work, self.port, self.relays = folder, work, port, relays
        self.memory: dict[str, int] = {}
        self.largest_bytes = 0
        self._processes: dict[str, subprocess.Popen] = {}

    def start_server(self) -> None:
        """Starts the server; it asks when all clients are there."""
        steps = (self.work.rounds + 3) * self.work.round_steps
        self._start(
            "server", f"--creds={self.folder / 'creds' / 'server'}",
            f"--listen=127.0.0.1:{self.port}", f"--steps={steps}", f"--lr={LEARNING_RATE}",
            f"--round_steps={self.work.round_steps}", f"--batch_size={self.work.batch_size}",
            f"--min_clients={self.work.clients}", "--quorum=1",
            f"--round_seconds={self.work.round_seconds}",
        )  # fmt: skip

    def start_client(self, number: int) -> None:
        """Starts a client, which reaches the server through its relay."""
        self._start(
            f"client-{number}", f"--creds={self.folder / 'creds' / f'client-{number}'}",
            f"--train={self.work.data}", f"--server=127.0.0.1:{self.relays[number].port}",
            "--threads=1",
        )  # fmt: skip

    def lines(self) -> list[Round]:
        """Returns the rounds so far."""
        folder = self.folder / "server"
        return list(read_rounds(folder)) if (folder / ROUNDS).exists() else []

    def pause(self, seconds: float) -> None:
        """Waits."""
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end, seconds + 60.0)

    def wait(self, is_done: Callable[[], bool], seconds: float) -> None:
        """Waits until something is so, and looks at the memory meanwhile."""
        end = time.monotonic() + seconds
        while not is_done():
            signals.check()
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise RunError(f"{self.folder / f'{name}.out'}: the command ended; see there")
                if name != "server":
                    self._look(process.pid)
            if time.monotonic() > end:
                raise RunError(f"{self.folder}: nothing came for {seconds:g} s; see its *.out")
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Ends the commands as Ctrl-C does."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(60.0)
            process.kill()

    def _look(self, pid):
        now = anonymous_bytes(pid)
        for program, count in now.items():
            self.memory[program] = max(count, self.memory.get(program, 0))
        self.largest_bytes = max(self.largest_bytes, sum(now.values()))

    def _start(self, name, *words):
        own = [f"--bundle={self.work.bundle}", f"--run={self.folder / name}"]
        program = [sys.executable, "-m", "pocketllm.runtime.cli", "federate"]
        with open(self.folder / f"{name}.out", "wb") as out:
            self._processes[name] = subprocess.Popen(
                [*program, name.partition("-")[0], *own, *words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
