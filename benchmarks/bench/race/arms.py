"""Arms of a race: optimizers, what a step of each costs, and the runs that they are given.

Forward passes count as the literature counts them: a backward pass as two, and what an arm runs
again to save memory as none. Seconds show what that costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

BATCH_SIZE = 16
EVALUATIONS, SEARCH_EVALUATIONS = 10, 3  # of the dev set, spread over a run
SEARCH_SEED = 1000  # of the search's runs: none of those that are compared


@dataclass(frozen=True)
class Arm:
    """An optimizer in a race.

    Attributes:
      name: of --arms.
      optimizer: of `pocketllm train`, or of PyTorch.
      shown: its name as papers write it.
      forwards: forward passes of the batch that a step counts; a backward pass counts two.
      schedule: of its learning rate.
      rates: learning rates of LoRA to begin the search with, ascending.
      flags: further ones of `pocketllm train`.
      in_pytorch: whether PyTorch runs it, on the base in float32.
    """

    name: str
    optimizer: str
    shown: str
    forwards: int
    schedule: str
    rates: tuple[float, ...]
    flags: tuple[str, ...] = ()
    in_pytorch: bool = False

    def steps(self, budget: int) -> int:
        """Returns the number of steps that a budget of forward passes pays for."""
        return budget // self.forwards


DIRECTIONS, PAIRS = 8, 4  # of an fzoo step: losses on one side each, or on both
ADAM_RATES, MEZO_RATES = (3e-4, 1e-3, 3e-3), (1e-3, 3e-3, 1e-2)
LENGTHS_OF_STEPS = (3e-4, 1e-3, 3e-3)  # a normalised rate is about how far a parameter moves
ARMS = {
    arm.name: arm
    for arm in (
        Arm("adam", contract.ADAM, "Adam", 3, "constant", ADAM_RATES),
        Arm("mezo", contract.MEZO, "MeZO", 2, "linear", MEZO_RATES),
        Arm(
            "mezo-normalised",
            contract.MEZO,
            "MeZO, normalised",
            2,
            "linear",
            LENGTHS_OF_STEPS,
            ("--normalize",),
        ),
        Arm(
            "fzoo",
            "fzoo",
            f"fzoo, {DIRECTIONS} directions, one side",
            DIRECTIONS,
            "linear",
            LENGTHS_OF_STEPS,
            (f"--directions={DIRECTIONS}", "--sides=1"),
        ),
        Arm(
            "fzoo-pairs",
            "fzoo",
            f"fzoo, {PAIRS} pairs",
            2 * PAIRS,
            "linear",
            LENGTHS_OF_STEPS,
            (f"--directions={PAIRS}", "--sides=2"),
        ),
        Arm(
            "pytorch-adam",
            contract.ADAM,
            "PyTorch + peft AdamW",
            3,
            "constant",
            ADAM_RATES,
            in_pytorch=True,
        ),
        Arm(
            "pytorch-mezo",
            contract.MEZO,
            "PyTorch MeZO",
            2,
            "linear",
            MEZO_RATES,
            in_pytorch=True,
        ),
    )
}


@dataclass(frozen=True)
class Trial:
    """One run of a race.

    Attributes:
      arm: of ARMS.
      lr: learning rate.
      seed: random seed of batches and directions.
      steps: length of the run.
      compared: whether the held-out rows are evaluated; the search's runs never see them.
    """

    arm: Arm
    lr: float
    seed: int
    steps: int
    compared: bool

    @property
    def name(self) -> str:
        """Name of its run directory."""
        part = f"seed{self.seed}" if self.compared else "search"
        return f"{self.arm.name}-{self.lr:g}-{part}"

    @property
    def eval_every(self) -> int:
        """Steps between evaluations of the dev set."""
        return max(1, self.steps // (EVALUATIONS if self.compared else SEARCH_EVALUATIONS))


def arms_named(names: Sequence[str], budget: int) -> list[Arm]:
    """Returns the arms of --arms; raises InputError for one that is unknown, or gets no step."""
    for name in names:
        if name not in ARMS:
            raise InputError(f"--arms: no arm {name!r}, expected some of {', '.join(ARMS)}")
        if not ARMS[name].steps(budget):
            raise InputError(
                f"--forwards={budget}: a step of {name} counts {ARMS[name].forwards}; give more"
            )
    if not names:
        raise InputError(f"--arms is empty, expected some of {', '.join(ARMS)}")
    return [ARMS[name] for name in dict.fromkeys(names)]


def seeds_of(texts: Sequence[str]) -> list[int]:
    """Returns the value of --seeds; raises InputError for any but seeds of compared runs."""
    try:
        seeds = sorted({int(text) for text in texts})
    except ValueError:
        seeds = []
    if not seeds or seeds[0] < 0 or seeds[-1] >= SEARCH_SEED:
        raise InputError(
            f"--seeds={','.join(texts)}: expected whole numbers from 0 to {SEARCH_SEED - 1}"
        )
    return seeds
