"""What is compared: federations of many clients, of ten with two liars, and runs on all data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from pocketllm.benchmarks.bench.race.arms import Arm
from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from ..aggregation import MEAN, MEDIAN, TRIMMED, Rule

RATES = 3e-5, 1e-4, 3e-4  # of all parameters, to begin a search with
SCHEDULE = "linear"


@dataclass(frozen=True)
class ComparedArm(Arm):
    """A federation, or a run on all data.

    Attributes:
      alpha: of the clients' labels; None: all data in one place.
      joined: of a run on all data, whether its batch is that of a round, or that of one client.
      everybody: whether there are only as many clients as a round asks.
      rule: how answers are joined.
      lie: of LIES, that a fifth of the clients tell.
      rate_of: the arm whose learning rate it takes; None: its own is searched.
      beside: the arm that it is compared with.
      points: of accuracy that it may be below.
    """

    alpha: float | None = None
    joined: bool = True
    everybody: bool = False
    rule: Rule = field(default_factory=Rule)
    lie: str | None = None
    rate_of: str | None = None
    beside: str | None = None
    points: float | None = None

    def rows(self, batch_size: int, per_round: int) -> int:
        """Returns the examples of a step: `batch_size` of one client, or of all of a round's."""
        return batch_size * (per_round if self.joined else 1)


CENTRAL, IID, HONEST = "central", "iid", "ten"


def _arm(name, shown, **values):
    return ComparedArm(name, contract.MEZO, shown, 2, SCHEDULE, RATES, **values)


def _many(name, alpha, points, rate_of=None):
    shown = f"federated, alpha {alpha:g}"
    return _arm(name, shown, alpha=alpha, beside=CENTRAL, points=points, rate_of=rate_of)


def _ten(name, shown, rule, lie=None, points=None):
    return _arm(
        name,
        shown,
        alpha=math.inf,
        everybody=True,
        rule=rule,
        lie=lie,
        rate_of=IID,
        beside=None if name == HONEST else HONEST,
        points=points,
    )


def _robust(rule, word, lie):
    name = f"{rule}-{word}" if word else f"ten-{rule}"
    return _ten(name, f"{rule}, {lie or 'no liars'}", Rule(rule), lie, 2.0)


TURNED = "-10 times the truth"
WORDS = {"": None, "nan": "NaN", "huge": "1e30", "turned": TURNED}
ARMS = {
    arm.name: arm
    for arm in (
        _arm(CENTRAL, "all data, a round's batch"),
        _arm("alone", "all data, one client's batch", joined=False),
        _many(IID, math.inf, 1.0),
        _many("dirichlet-0.5", 0.5, 2.0, IID),
        _many("dirichlet-0.1", 0.1, 4.0, IID),
        _ten(HONEST, "mean, no liars", Rule()),
        *(_robust(rule, word, lie) for rule in (MEDIAN, TRIMMED) for word, lie in WORDS.items()),
        _ten("mean-turned", f"mean, {TURNED}", Rule(), TURNED),
        _ten("unbounded-turned", f"mean without a bound, {TURNED}", Rule(MEAN, math.inf), TURNED),
    )
}
DEFAULT = ("central", "alone", "iid", "dirichlet-0.5", "dirichlet-0.1")


def compared_arms(names: Sequence[str]) -> list[ComparedArm]:
    """Returns the arms of --arms, in the order of ARMS; raises InputError for an unknown one."""
    for name in names:
        if name not in ARMS:
            raise InputError(f"--arms: no arm {name!r}, expected some of {', '.join(ARMS)}")
    if not names:
        raise InputError(f"--arms is empty, expected some of {', '.join(ARMS)}")
    return [arm for name, arm in ARMS.items() if name in names]
