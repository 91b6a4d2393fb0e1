"""The plan of a reproduction: scales, their models, and their cells."""

from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.contract import ADAM, MEZO
from pocketllm.tflite_models.presets import MICRO

PHONE_BYTES = 12_000_000_000  # the paper's phone has 12 GB
MICRO_SHARE = 16  # with it only Adam at the large batch runs out, as with the full models
STEPS, TOKENS, SEED = 10, 64, 0
POCKETLLM, PYTORCH = "pocketllm", "pytorch"
# Those of MeZO's authors when all parameters are trained; eps is the size of MeZO's probe.
LEARNING_RATES = {("roberta", MEZO): 1e-6, ("roberta", ADAM): 1e-5, ("opt", MEZO): 1e-7}
EPS = 1e-3
BUNDLE_ROWS = 8  # rows of MeZO's forward signatures; a larger batch takes several calls


@dataclass(frozen=True)
class Task:
    """A task: its name, its title in reports, and its training rows in the package."""

    name: str
    shown: str
    rows: Path


TASKS = {
    "roberta": Task("sst2", "SST-2", MICRO / "sst2_train.tsv"),
    "opt": Task("wic", "rows in WiC's format", Path(__file__).with_name("wic_rows.jsonl")),
}


@dataclass(frozen=True)
class Scale:
    """A size of reproduction.

    Attributes:
      models: {family: preset}.
      batch_sizes: the small and the large batch, in rows.
      limit_bytes: hard limit on the memory of every cell.
      has_weights: whether the package holds weights of the presets.
      needs: the disk space in words, for the help.
    """

    models: dict[str, str]
    batch_sizes: tuple[int, int]
    limit_bytes: int
    has_weights: bool
    needs: str


SCALES = {
    "micro": Scale(
        {"roberta": "roberta-micro", "opt": "opt-micro"},
        (8, 320),
        PHONE_BYTES // MICRO_SHARE,
        has_weights=True,
        needs="0.1 GB of disk",
    ),
    "base": Scale(
        {"roberta": "roberta-base", "opt": "opt-125m"},
        (8, 64),
        PHONE_BYTES,
        has_weights=False,
        needs="2 GB of disk",
    ),
    "large": Scale(
        {"roberta": "roberta-large", "opt": "opt-1.3b"},
        (8, 64),
        PHONE_BYTES,
        has_weights=False,
        needs="8 GB of disk",
    ),
}


@dataclass(frozen=True)
class Export:
    """A bundle that cells need: its family, optimizers and rows of the forward signatures."""

    family: str
    optimizers: str
    batch_size: int

    @property
    def name(self) -> str:
        """Returns the name of its folder."""
        return f"{self.family}-{self.optimizers.replace(',', '-')}-{self.batch_size}"


@dataclass(frozen=True)
class Cell:
    """One measurement: a run in its own process.

    Attributes:
      side: POCKETLLM or PYTORCH.
      family: "roberta" or "opt".
      optimizer: MEZO or ADAM.
      batch_size: rows a step.
    """

    side: str
    family: str
    optimizer: str
    batch_size: int

    @property
    def name(self) -> str:
        """Returns its name on the command line, in DIR and in reports."""
        return f"{self.side}-{self.family}-{self.optimizer}-{self.batch_size}"

    @property
    def export(self) -> Export:
        """Returns the bundle it runs on; PyTorch reads only the weights.

        PocketLLM's Adam takes the batch in one call, because that keeps the activations.
        """
        if (self.side, self.optimizer) == (POCKETLLM, ADAM):
            return Export(self.family, f"{MEZO},{ADAM}", self.batch_size)
        return Export(self.family, MEZO, BUNDLE_ROWS)


def cells_of(scale: Scale) -> list[Cell]:
    """Returns a scale's cells in their order of running: those of one bundle together."""
    small = scale.batch_sizes[0]
    cells = [
        Cell(side, "roberta", optimizer, batch_size)
        for side in (POCKETLLM, PYTORCH)
        for optimizer in (MEZO, ADAM)
        for batch_size in scale.batch_sizes
    ] + [Cell(side, "opt", MEZO, small) for side in (POCKETLLM, PYTORCH)]
    exports = list(dict.fromkeys(cell.export for cell in cells))
    return sorted(cells, key=lambda cell: exports.index(cell.export))


def help_of_scales() -> str:
    """Returns the table of the scales for --help."""
    return "\n  ".join(
        f"{name:<8} {', '.join(scale.models.values()):<29}  {_pair(scale.batch_sizes):<8}  "
        f"{scale.limit_bytes / 1e9:<4g} GB  {scale.needs}"
        for name, scale in SCALES.items()
    )


def help_of_cells() -> str:
    """Returns the names of the cells for --help."""
    return "\n  ".join(cell.name for cell in cells_of(SCALES["large"]))


def _pair(numbers):
    return ", ".join(map(str, numbers))
