"""What a private federation promises, and with which noise: it stands in the run's header."""

import math
from dataclasses import dataclass

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.run.folder import RunConfig

EXAMPLE, CLIENT = "example", "client"
# Whose presence is hidden, and who adds the noise.
LEVELS = {EXAMPLE: "one example of a client, by the client", CLIENT: "one client, by the server"}
GRID = 1 << 16  # steps of the clip's size that what leaves is rounded to
PRIVATE_OPTIMIZER = "mezo"  # one slope a step; what others divide by would need losses
LEAST_BATCH = 8  # examples of a step: fewer would stand for themselves


@dataclass(frozen=True)
class Plan:
    """A budget of differential privacy (ε, δ), add-or-remove-one, and the noise that keeps it.

    Attributes:
      level: of LEVELS.
      epsilon, delta: promised for all releases together.
      clip: C, nats per unit of z: bounds an example's projected gradient, or the L2 norm of the
        projected gradients that a client sends in a round.
      noise_multiplier: standard deviation of the noise on the sum, in units of `clip`.
      sampling_rate: chance of an example, or of a client, to take part in a release, at most.
      releases: how often the data of a client is used at most: steps, or rounds of the server.
      members: least examples of a client, or number of clients.
    """

    level: str
    epsilon: float
    delta: float
    clip: float
    noise_multiplier: float
    sampling_rate: float
    releases: int
    members: int

    def __post_init__(self):
        """Raises ValueError for numbers that promise nothing; a header may come from anywhere."""
        good = (
            self.level in LEVELS
            and 0 < self.epsilon < math.inf
            and 0 < self.delta < 1
            and 0 < self.clip < math.inf
            and 0 < self.noise_multiplier < math.inf
            and 0 < self.sampling_rate <= 1
            and min(self.releases, self.members) >= 1
        )
        if not good:
            raise ValueError(f"no plan of differential privacy: {self}")

    def describe(self) -> str:
        """Returns what is promised, and with what, in one line."""
        return (
            f"private: epsilon {self.epsilon:g}, delta {self.delta:g} for {LEVELS[self.level]}; "
            f"clip {self.clip:g}, noise multiplier {self.noise_multiplier:.4g}, sampling rate "
            f"{self.sampling_rate:.4g}, {self.releases} releases"
        )


@dataclass(frozen=True)
class FederationConfig(RunConfig):
    """The config of a federation's run; `private` is None where nothing is promised."""

    private: Plan | None = None


class SpentError(RunError):
    """The budget of a plan is spent."""


def plan_of(config: RunConfig) -> Plan | None:
    """Returns the plan of a run, None where nothing is promised."""
    return config.private if isinstance(config, FederationConfig) else None


def check_batch(batch_size: int) -> None:
    """Raises InputError where a step's examples are too few to hide one."""
    if batch_size < LEAST_BATCH:
        raise InputError(
            f"--batch_size={batch_size}: with --private expected {LEAST_BATCH} or more"
        )


def losses_of(slope: float, eps: float) -> tuple[float, float]:
    """Returns the losses that a record holds of a projected gradient: nobody knows their mean.

    Args:
      slope: the projected gradient.
      eps: size of the probe.

    Returns:
      what they would be on either side of θ if they were 0 there.
    """
    return slope * eps, -slope * eps
