"""What a client asks of a federation before it answers."""

from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError

from .accountant import check_plan
from .ledger import Ledger, Release
from .plan import EXAMPLE, Plan


@dataclass(frozen=True)
class Promise:
    """The least privacy that a client answers for.

    Attributes:
      epsilon, delta: largest that it accepts.
      level: of LEVELS; the client level asks it to trust the server, and is taken only where named.
    """

    epsilon: float
    delta: float
    level: str = EXAMPLE


def check_promise(promise: Promise, plan: Plan | None, folder: Path, header: int) -> None:
    """Raises InputError where a federation promises less, or its noise does not keep its word.

    Args:
      promise: the client's.
      plan: the federation's.
      folder: the client's run directory, which notes that the noise was checked.
      header: checksum of the federation's header.
    """
    if plan is None or plan.level not in (promise.level, EXAMPLE):
        level = "nothing" if plan is None else f"privacy at the {plan.level} level"
        raise InputError(f"the federation promises {level}, this client asks for {promise.level}")
    if plan.epsilon > promise.epsilon or plan.delta > promise.delta:
        raise InputError(
            f"the federation promises epsilon {plan.epsilon:g}, delta {plan.delta:g}; this client "
            f"asks for {promise.epsilon:g}, {promise.delta:g} or less"
        )
    ledger = Ledger(folder)
    if ledger.known(0, header, 0) is None:
        check_plan(plan)
        ledger.add(Release(0, header, times=0))
