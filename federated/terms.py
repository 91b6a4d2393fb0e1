"""What a federation's server is given: what carries its questions, how it asks, who watches."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pocketllm.runtime.contract import GAUSSIAN
from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.optim.interface import Step
from pocketllm.runtime.run.folder import RunConfig

from .aggregation import MEAN, Rule
from .privacy.plan import CLIENT, PRIVATE_OPTIMIZER, check_batch, plan_of
from .protocol import MOST_STEPS


class TooFewAnswersError(RunError):
    """Round after round had fewer answers than a step needs."""


class Grid(Protocol):
    """What carries questions to clients and their answers back."""

    def clients(self) -> Collection[int]:
        """Returns the clients that can be asked now."""
        ...

    def ask(
        self, questions: Mapping[int, bytes], wanted: Callable[[int, bytes], bool], seconds: float
    ) -> None:
        """Sends questions, and hands over answers as they come.

        Args:
          questions: client -> its question.
          wanted: (client, answer) -> whether more answers are waited for.
          seconds: longest wait; what comes later is dropped.
        """
        ...


@dataclass(frozen=True)
class Terms:
    """How a federation asks; no step depends on it but through the answers.

    Attributes:
      rule: how answers are joined.
      round_steps: steps that a round measures, all at the same parameters.
      share: of the clients that are asked in a round.
      least: number of clients without whose answers no step is taken.
      quorum: share of the clients asked whose answers end a round.
      seconds: that a round waits for answers.
      patience: rounds in a row without enough answers, behind which the run ends; 0: any number.
      refused_rounds: rounds in a row in which every client that is there refuses, behind which the
        run ends; 0: any number.
      poll_seconds: between two looks for clients, while they are too few.
    """

    rule: Rule = field(default_factory=Rule)
    round_steps: int = 1
    share: float = 1.0
    least: int = 1
    quorum: float = 0.8
    seconds: float = 600.0
    patience: int = 0
    refused_rounds: int = 0
    poll_seconds: float = 0.2


@dataclass(frozen=True)
class Served:
    """The end of a federation, or of this part of it.

    Attributes:
      last_step: that the run holds.
      rounds: that took steps here.
      empty_rounds: those that did not.
      stopped: whether a signal ended it early.
    """

    last_step: int
    rounds: int
    empty_rounds: int
    stopped: bool = False


@dataclass(frozen=True)
class Watcher:
    """Told what happens; by default nothing watches.

    Attributes:
      stepped: takes a step's line.
      say: takes what people should know.
      began: called once the run directory is this process's alone.
    """

    stepped: Callable[[Step], None] = lambda step: None
    say: Callable[[str], None] = lambda line: None
    began: Callable[[], None] = lambda: None


UNWATCHED = Watcher()


def check_federation(config: RunConfig, terms: Terms) -> None:
    """Raises InputError for settings that no federation can have."""
    if config.optimizer.probing is None:
        raise InputError(f"--optimizer={config.optimizer.name}: expected mezo or fzoo")
    if config.noise == GAUSSIAN:
        raise InputError(
            "the bundle's noise is gaussian, whose last digits differ between engines, so that "
            "clients would part; export with --noise=codebook or rademacher"
        )
    if not 1 <= terms.round_steps <= MOST_STEPS:
        raise InputError(f"--round_steps={terms.round_steps}: expected 1 to {MOST_STEPS}")
    if plan_of(config):
        _check_private(config, terms)


def _check_private(config, terms):
    if config.optimizer.name != PRIVATE_OPTIMIZER:
        raise InputError(
            f"--optimizer={config.optimizer.name}: with --private expected {PRIVATE_OPTIMIZER}"
        )
    check_batch(config.batch_size)
    if config.private.level == CLIENT and terms.rule.name != MEAN:
        raise InputError(
            f"--aggregate={terms.rule.name}: the noise of --private_level=client is for the mean"
        )
