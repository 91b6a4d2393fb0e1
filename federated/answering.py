"""A client's side: it makes its journal the server's, and measures what the server asks for.

Its data never leaves it. It catches up from records alone, so a wiped disk recovers by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from pocketllm.runtime.bundle.contents import Bundle
from pocketllm.runtime.data.batches import Batch
from pocketllm.runtime.data.dataset import Dataset, batches_of
from pocketllm.runtime.data.order import step_members
from pocketllm.runtime.errors import InputError, LossError
from pocketllm.runtime.host.lock import run_lock
from pocketllm.runtime.journal.reader import Journal
from pocketllm.runtime.optim.interface import ProbeSettings
from pocketllm.runtime.run.folder import RunConfig

from .example_slopes import released_slopes
from .journal_part import begin_part, extend_part, read_part
from .privacy.ledger import LEDGER, Ledger
from .privacy.noise import bounded_vector
from .privacy.plan import EXAMPLE, SpentError, plan_of
from .privacy.promise import Promise, check_promise
from .protocol import (
    BEHIND,
    FAILED,
    LOSSES,
    REFUSED,
    SLOPES,
    SPENT,
    Answer,
    Check,
    Question,
    losses_of_steps,
    pack_answer,
    read_question,
    refusal,
)
from .replica import Replica
from .steps import NO_DATA, config_of

KINDS = {SpentError: SPENT, LossError: FAILED}  # of errors, every other is a refusal


@dataclass(frozen=True)
class Client:
    """A client of a federation.

    Attributes:
      folder: its run directory.
      replica: its model.
      data: its examples, which stay here.
      check: of the server's signature; None takes questions without one.
      say: told of what people should know.
      promise: of privacy, without which it answers nothing; None takes every federation.
    """

    folder: Path
    replica: Replica
    data: Dataset
    check: Check | None = None
    say: Callable[[str], None] = lambda line: None
    promise: Promise | None = None


def answer(client: Client, data: bytes) -> bytes:
    """Returns the bytes of the answer to those of a question.

    Raises:
      InputError: the message is no question of the server's: it gets no answer.
      RunError: the disk failed.
    """
    question = read_question(data, client.check)
    with run_lock(client.folder):
        journal = read_part(client.folder, client.say)
        try:
            journal = _caught_up(client, journal, question)
            if journal is None or question.first > len(journal.steps) + 1:
                steps = len(journal.steps) if journal else 0
                return pack_answer(Answer(BEHIND, question.attempt, steps))
            return pack_answer(_measured(client, journal, question))
        except (InputError, LossError, SpentError) as error:
            kind = KINDS.get(type(error), REFUSED)
            return refusal(question.attempt, len(journal.steps) if journal else 0, error, kind)


def _caught_up(client: Client, journal: Journal | None, question: Question) -> Journal | None:
    """Returns the journal with what the question brings, None where that cannot begin one."""
    if journal is None:
        if not question.header:
            return None
        journal = begin_part(client.folder, question.header, question.header_checksum)
        if not (client.folder / LEDGER).exists():
            Ledger(client.folder).begin()
    if journal.checksums[0] != question.header_checksum:
        raise InputError(
            f"{client.folder}: holds a run of another federation; choose another --run"
        )
    trained = journal.header.get("bundle_checksum")
    if trained != (own := client.replica.model.bundle.checksum):
        raise InputError(
            f"the federation trains bundle {str(trained)[:12]}…, this client has {own[:12]}… "
            "(checksums, see `pocketllm inspect`); give the same bundle"
        )
    if question.start > len(journal.steps):
        return journal
    return extend_part(client.folder, journal, question.start, question.records)


def _measured(client: Client, journal: Journal, question: Question) -> Answer:
    """Returns the losses of the steps of a question, which are the next ones."""
    steps = len(journal.steps)
    if question.first <= steps:
        raise InputError(f"step {question.first} is past, the client holds {steps}: a late message")
    numbers = range(question.first, question.first + question.steps)
    config = config_of(journal.header, numbers[-1])
    if config.train_sha256 != NO_DATA:
        raise InputError("the journal is no federation's")
    plan = plan_of(config)
    if client.promise:
        check_promise(client.promise, plan, client.folder, journal.checksums[0])
    client.replica.bring(client.folder, journal, client.say)
    seal = client.replica.seal(question.first)
    if plan and plan.level == EXAMPLE:
        at = journal.checksums[steps]
        slopes = released_slopes(
            client.folder, client.replica, client.data, config, numbers=numbers, at=at
        )
        return Answer(SLOPES, question.attempt, steps, seal, slopes=slopes)
    batches = partial(batches_at, client.data, client.replica.model.bundle, config)
    losses = client.replica.measure(config, numbers, batches)
    if plan is None:
        return Answer(LOSSES, question.attempt, steps, seal, tuple(losses))
    eps = cast(ProbeSettings, config.settings).eps
    slopes = [(plus - minus) / (2 * eps) for plus, minus in losses_of_steps(losses, len(numbers))]
    bounded = bounded_vector(slopes, plan.clip)
    return Answer(SLOPES, question.attempt, steps, seal, slopes=bounded)


def batches_at(data: Dataset, bundle: Bundle, config: RunConfig, step: int) -> list[Batch]:
    """Returns a client's minibatch of a step: it depends on its data and the run's seed alone."""
    members = step_members(len(data.examples), config.batch_size, config.seed, step)
    return batches_of(data, bundle, members)
