"""The server's side: rounds of questions and answers, which become records of an ordinary run.

The server has no model. The journal is all that it must keep: the same call goes on after a kill.
"""

import math
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host import signals
from pocketllm.runtime.host.lock import run_lock
from pocketllm.runtime.host.memory import Peak, PeakMemory
from pocketllm.runtime.journal.lines import append_step
from pocketllm.runtime.journal.reader import JOURNAL, read_journal
from pocketllm.runtime.journal.writer import JournalWriter
from pocketllm.runtime.optim.applied import Applied
from pocketllm.runtime.run.folder import RunConfig, start_or_continue

from .aggregation import RECENT, problem_of, usual_slope
from .privacy.central import Central
from .privacy.plan import CLIENT, SpentError, plan_of
from .protocol import (
    BEHIND,
    FAILED,
    LOSSES,
    MOST_RECORDS,
    SLOPES,
    SPENT,
    Answer,
    Question,
    Sign,
    pack_question,
    read_answer,
)
from .refusals import Refusals
from .round_lines import (
    Round,
    append_round,
    cut_rounds,
    joined,
    read_rounds,
    recorded,
)
from .steps import NO_DATA, Steps, probing_of
from .terms import UNWATCHED, Grid, Served, Terms, TooFewAnswersError, Watcher, check_federation


def serve(
    folder: Path,
    config: RunConfig,
    terms: Terms,
    grid: Grid,
    *,
    sign: Sign | None = None,
    watcher: Watcher = UNWATCHED,
    lock_seconds: float = 0.0,
) -> Served:
    """Takes a federation's steps up to `config.settings.steps`.

    Args:
      folder: the run directory, an ordinary one.
      config: what the steps depend on; its `train_sha256` is NO_DATA.
      terms: how clients are asked.
      grid: carries the questions.
      sign: signs them.
      watcher: told of steps and refusals.
      lock_seconds: how long another process may still hold the folder.

    Raises:
      InputError: the folder holds another run, the settings are no federation's, or every client
        refuses.
      RunError: too few clients answered too often, or the disk is full.
    """
    assert config.train_sha256 == NO_DATA
    check_federation(config, terms)
    with run_lock(folder, lock_seconds), PeakMemory() as memory:
        watcher.began()
        steps = start_or_continue(folder, config)
        cut_rounds(folder, len(steps))
        with JournalWriter(Path(folder) / JOURNAL) as journal:
            server = _Server(Path(folder), config, terms, grid, journal=journal, peak=memory.peak)
            server.sign, server.watcher = sign, watcher
            return server.run(Steps(config, cast(Sequence[Applied], steps)))


class _Server:
    """A federation under way; what it knows of clients is lost with it, and learnt again."""

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        terms: Terms,
        grid: Grid,
        *,
        journal: JournalWriter,
        peak: Callable[[], Peak],
    ):
        self.folder, self.config, self.terms, self.grid = folder, config, terms, grid
        self.journal, self.peak = journal, peak
        self.sign: Sign | None = None
        self.watcher, self.repeated = UNWATCHED, 0  # rounds in a row without enough answers
        read = read_journal(self.folder / JOURNAL)
        self.header_checksum, self.ends = read.checksums[0], list(read.ends)
        self.known: dict[int, int] = {}  # client -> steps that it said it has
        self.behind: set[int] = set()  # clients that lacked steps of this round's question
        self.recent = [step.losses for step in read.steps[-RECENT:]]
        self.plan = plan_of(config)
        is_central = self.plan is not None and self.plan.level == CLIENT
        self.central = Central(folder, self.plan) if self.plan and is_central else None
        self.spent: set[int] = set()  # clients whose budget of privacy is
        self.turns: Counter[str] = Counter()  # client -> rounds, where their budgets must last
        for line in (lines := read_rounds(folder)):
            self.turns.update([*line.answers, *line.absent])
        useful = set(map(int, lines[-1].answers if lines else ()))
        self.refusals = Refusals(lambda line: self.watcher.say(line), useful)

    def run(self, steps: Steps) -> Served:
        """Asks and takes steps until all are there, or a signal comes."""
        rounds = empty = 0
        try:
            while self.journal.count < self.config.settings.steps:
                if self._round(steps):
                    rounds, self.repeated = rounds + 1, 0
                    continue
                empty, self.repeated = empty + 1, self.repeated + 1
                self.refusals.check(self.folder, self.grid.clients(), self.terms.refused_rounds)
                if 0 < self.terms.patience <= self.repeated:
                    raise TooFewAnswersError(
                        f"{self.folder}: {self.repeated} rounds in a row had fewer than "
                        f"{self.terms.least} answers; the run keeps step {self.journal.count}: "
                        "look at the clients, and run the same command again"
                    )
        except KeyboardInterrupt:
            signals.clear()
            return Served(self.journal.count, rounds, empty, stopped=True)
        except SpentError as error:
            raise RunError(
                f"{self.folder}: the privacy budget does not last: {error}; the run keeps its "
                f"{self.journal.count} steps: evaluate it, or begin another --run"
            ) from error
        return Served(self.journal.count, rounds, empty)

    def _round(self, steps) -> bool:
        """Asks once; returns whether there were answers enough for the steps to be taken."""
        first, started = self.journal.count + 1, time.monotonic()
        at, left = self.journal.checksum, self.config.settings.steps - self.journal.count
        count = min(self.terms.round_steps, left)
        values = self.central.known(first, count, at) if self.central else None
        clients = [] if values else self._chosen(first)
        attempt = secrets.randbits(32)
        answers, sent, received = self._answers(clients, attempt, first, count)
        if not self._are_enough(clients, answers):
            return False
        line = Round(
            first,
            count,
            self.terms.rule.name,
            usual_slope(self.recent, probing_of(self.config).sides),
            {},
            seconds=round(time.monotonic() - started, 3),
            sent=sent,
            received=received,
            clip=self.terms.rule.clip,
        )
        if self.central:
            vectors = [answer.slopes for answer in answers.values()]
            values = values or self.central.release(first, count, at, vectors)
            line = replace(line, released=values)
        else:
            losses = {str(client): answers[client].losses for client in sorted(answers)}
            absent = tuple(str(client) for client in clients if client not in answers)
            self.turns.update(map(str, clients))
            line = replace(line, answers=losses, absent=absent)
        with signals.deferred():
            append_round(self.folder, line)
            for number, losses in zip(range(first, first + count), joined(line, self.config)):
                self._take(steps, number, losses, line.seconds / count)
            self.journal.flush()  # before any client can have the records
        return True

    def _take(self, steps, number, losses, seconds):
        """Takes a step: its line, its record."""
        step, applied = steps.take(number, losses)
        append_step(self.folder, step, seconds, self.peak())
        self.journal.append(applied)
        self.ends.append(os.stat(self.folder / JOURNAL).st_size)
        self.recent = [*self.recent, applied.losses][-RECENT:]
        self.watcher.stepped(step)

    def _chosen(self, first):
        """Returns the clients to ask: a share of those that are there, others each time."""
        while len(clients := sorted(self.grid.clients())) < self.terms.least:
            signals.check()
            time.sleep(self.terms.poll_seconds)
        if self.central:
            return self.central.chosen(clients)
        if self.spent:
            clients = [client for client in clients if client not in self.spent]
            if len(clients) < max(1, self.terms.least):
                raise SpentError(f"that of {len(self.spent)} clients is spent")
        count = max(self.terms.least, 1, round(self.terms.share * len(clients)))
        again = f"/{self.repeated}" if self.repeated else ""
        draw = random.Random(f"{self.config.seed}/{first}{again}")
        is_sorted = self.repeated > 0 or self.plan is not None
        chosen = draw.sample(clients, len(clients) if is_sorted else min(count, len(clients)))
        if self.plan:  # in turn, so that the budgets last as long as they can
            chosen.sort(key=lambda client: self.turns[str(client)])
        if self.repeated:  # others may answer where these did not
            chosen.sort(key=lambda client: client in self.refusals)
        return chosen[:count]

    def _are_enough(self, clients, answers) -> bool:
        """Whether the round's steps can be taken; where nobody was drawn, of noise alone."""
        if self.central:
            return bool(answers) or not clients
        return len(answers) >= max(1, self.terms.least)

    def _question(self, client, attempt, first, count) -> bytes:
        """Returns a client's question: records behind those that it has, where that is known."""
        end = self.journal.count
        start = self.known.get(client, end)
        while self.ends[end] - self.ends[start] > MOST_RECORDS:
            end -= 1 + (end - start) // 2
        with open(self.folder / JOURNAL, "rb") as file:
            header = b"" if self.known.get(client) else file.read(self.ends[0])
            file.seek(self.ends[start])
            records = file.read(self.ends[end] - self.ends[start])
        numbers = attempt, first, count, start, self.header_checksum
        return pack_question(Question(*numbers, header, records), self.sign)

    def _answers(self, clients, attempt, first, count) -> tuple[dict[int, Answer], int, int]:
        """Returns the answers with losses, and the bytes of all that was sent and that came."""
        answers: dict[int, Answer] = {}
        enough = max(self.terms.least, math.ceil(self.terms.quorum * len(clients)))
        sent = received = 0
        losses = count * probing_of(self.config).forwards

        def wanted(client: int, data: bytes) -> bool:
            nonlocal received
            received += len(data)
            if client in clients and client not in answers:
                answer = self._accepted(client, data, attempt, losses)
                if answer:
                    answers[client] = answer
                    self.refusals.use(client)
            return len(answers) < enough

        self.behind, left = set(), list(clients)
        for _ in range(2):  # once more those that lacked steps: now it is known which
            questions = {client: self._question(client, attempt, first, count) for client in left}
            sent += sum(map(len, questions.values()))
            self.grid.ask(questions, wanted, self.terms.seconds)
            left = [client for client in clients if client in self.behind]
            if not left or len(answers) >= enough:
                break
        self.refusals.compare({client: answer.seal for client, answer in answers.items()})
        return answers, sent, received

    def _accepted(self, client, data, attempt, count) -> Answer | None:
        """Returns an answer whose numbers can be used, None for any other."""
        try:
            answer = read_answer(data)
        except InputError as error:
            return self.refusals.add(client, str(error))
        if answer.attempt != attempt:
            return None  # a late one
        if (steps := answer.steps) > self.journal.count:
            return self.refusals.add(client, f"it holds {steps} steps, more than the server")
        self.known[client] = answer.steps
        if answer.kind == BEHIND:
            self.behind.add(client)
            return self.refusals.forget(client)
        if answer.kind == SPENT and self.plan:  # without one there is no budget to be spent
            self.spent.add(client)
        reason, is_failure = self._reason_against(answer, count)
        if reason:
            return self.refusals.add(client, reason, is_failure=is_failure)
        return replace(answer, losses=self._numbers(answer))

    def _reason_against(self, answer, count) -> tuple[str | None, bool]:
        """Returns why an answer cannot be used, None where it can; whether for want of numbers."""
        if answer.kind != (SLOPES if self.plan else LOSSES):
            text = answer.text or "slopes or losses, the other is expected"
            return text, answer.kind == FAILED
        if answer.steps != self.journal.count:
            return f"losses at step {answer.steps}, not those of the question", False
        return problem_of(self._numbers(answer), count), True

    def _numbers(self, answer):
        """Returns the losses of an answer, of a private run those that its slopes stand for."""
        return recorded(answer.slopes, self.config) if self.plan else answer.losses
