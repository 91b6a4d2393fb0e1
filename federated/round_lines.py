"""`rounds.jsonl` beside a federation's journal: who answered what, a line a round.

Nobody needs it to do the steps again. Whoever has it can join the answers again, and compare
(`pocketllm federate verify`).
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.typed_json import typed
from pocketllm.runtime.optim.interface import ProbeSettings
from pocketllm.runtime.run.folder import RunConfig

from .aggregation import Rule, aggregate
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
    data = json.dumps(asdict(line)).encode() + b"\n"
    path = Path(folder) / ROUNDS
    try:
        size = path.stat().st_size if path.exists() else 0
        with open(path, "ab", buffering=0) as file:
            if file.write(data) < len(data):
                file.truncate(size)
                raise OSError(28, "no space left")
            os.fsync(file.fileno())
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written: {error.strerror}; free some space and run the same "
            "command again: it goes on"
        ) from error


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


def _lines(path) -> Iterator[tuple[Round, int]]:
    """Yields (round, where its line ends) of a file without a torn end."""
    place = 0
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        place += len(line) + 1
        try:
            yield typed(Round, json.loads(line)), place
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is damaged ({error}); remove it") from error


def joined(line: Round, config: RunConfig) -> Sequence[Sequence[float]]:
    """Returns the losses of each step of a round, of all its clients together."""
    if line.released:
        return losses_of_steps(recorded(line.released, config), line.steps)
    sides, rule = probing_of(config).sides, Rule(line.rule, line.clip)
    by_client = [losses_of_steps(losses, line.steps) for losses in line.answers.values()]
    return [aggregate(losses, sides, rule, line.usual) for losses in zip(*by_client)]


def recorded(slopes: Sequence[float], config: RunConfig) -> tuple[float, ...]:
    """Returns the losses that a private run's records hold of projected gradients."""
    eps = cast(ProbeSettings, config.settings).eps
    return tuple(loss for slope in slopes for loss in losses_of(slope, eps))
