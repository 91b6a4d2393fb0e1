"""`rounds.jsonl` beside a federation's journal: who answered what, a line a round.

Nobody needs it to do the steps again. Whoever has it can join the answers again, and compare
(`pocketllm federate verify`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.optim.interface import ProbeSettings
from pocketllm.runtime.run.folder import RunConfig

from .aggregation import RULES, Rule, aggregate, problem_of
from .durable_lines import append_lines, read_lines
from .privacy.plan import losses_of
from .protocol import losses_of_steps
from .steps import probing_of

ROUNDS = "rounds.jsonl"


@dataclass(frozen=True)
class Round:
    """A round of a federation.

    Attributes:
      first: its first step.
      steps: that it measured.
      rule: name of the aggregation.
      usual: size of a slope before it.
      answers: client -> its losses of all steps; of a private run those that its slopes stand
        for, and none at the client level.
      absent: clients that were asked and gave no losses in time.
      seconds: that it took.
      sent, received: bytes of payload, all clients together.
      clip: times the usual slope that a slope may be.
      released: at the client level of a private run, the steps' noised slopes.
    """

    first: int
    steps: int
    rule: str
    usual: float
    answers: dict[str, tuple[float, ...]]
    absent: tuple[str, ...] = ()
    seconds: float = 0.0
    sent: int = 0
    received: int = 0
    clip: float = field(default=10.0)
    released: tuple[float, ...] = ()


def append_round(folder: Path, line: Round) -> None:
    """Appends a round and flushes it to the disk.

    Raises:
      RunError: the disk is full or read-only.
    """
    append_lines(Path(folder) / ROUNDS, line)


def cut_rounds(folder: Path, steps: int) -> None:
    """Cuts off a torn last line, and the rounds that begin beyond the journal's steps."""
    path = Path(folder) / ROUNDS
    if not path.exists():
        return
    size = 0
    for line, place in _lines(path):
        if line.first > steps:
            break
        size = place
    with open(path, "r+b") as file:
        file.truncate(size)


def read_rounds(folder: Path) -> list[Round]:
    """Returns the rounds of a federation, none without the file.

    Raises:
      InputError: a line is damaged.
    """
    path = Path(folder) / ROUNDS
    return [line for line, _ in _lines(path)] if path.exists() else []


def _lines(path):
    for line, place in read_lines(path, Round, "remove it"):
        for client in (*line.answers, *line.absent):
            if not client.isdecimal():
                raise InputError(
                    f"{path}: the round of step {line.first} is damaged (client {client!r}, "
                    "expected a number); remove it"
                )
        yield line, place


def joined(line: Round, config: RunConfig) -> Sequence[Sequence[float]]:
    """Returns the losses of each step of a round, of all its clients together.

    Raises:
      InputError: the line's numbers are none of a round.
    """
    probing = probing_of(config)
    wanted = line.steps * probing.forwards
    problem = next(filter(None, (problem_of(each, wanted) for each in line.answers.values())), None)
    if line.steps < 1 or line.rule not in RULES or len(line.released) not in (0, line.steps):
        problem = f"{line.steps} steps, {len(line.released)} released, joined by {line.rule!r}"
    if not line.answers and not line.released:
        problem = "no answers"
    if not line.clip > 0 or not 0 <= line.usual < math.inf:
        problem = f"slopes bounded to {line.clip} times {line.usual}"
    if problem:
        raise InputError(
            f"{ROUNDS}: the round of step {line.first} is damaged ({problem}); remove the file"
        )
    if line.released:
        return losses_of_steps(recorded(line.released, config), line.steps)
    sides, rule = probing.sides, Rule(line.rule, line.clip)
    by_client = [losses_of_steps(losses, line.steps) for losses in line.answers.values()]
    return [aggregate(losses, sides, rule, line.usual) for losses in zip(*by_client)]


def recorded(slopes: Sequence[float], config: RunConfig) -> tuple[float, ...]:
    """Returns the losses that a private run's records hold of projected gradients."""
    eps = cast(ProbeSettings, config.settings).eps
    return tuple(loss for slope in slopes for loss in losses_of(slope, eps))
