"""The plan of a reproduction: scales, their models, and their cells."""

from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.contract import ADAM, MEZO
from pocketllm.tflite_models.presets import MICRO

PHONE_BYTES = 12_000_000_000  # the paper's phone has 12 GB
MICRO_SHARE = 16  # with it only Adam at the large batch runs out, as with the full models
STEPS, TOKENS, SEED = 10, 64, 0
POCKETLLM, PYTORCH = "pocketllm", "pytorch"
SMALL, LARGE = "small", "large"
PAPER_BATCHES = {SMALL: 8, LARGE: 64}
EPS = 1e-3  # size of MeZO's probe, of MeZO's authors
BUNDLE_ROWS = 8  # rows of MeZO's forward signatures; a larger batch takes several calls


@dataclass(frozen=True)
class Task:
    """A task: its name, its title in reports, and its training rows in the package."""

    name: str
    shown: str
    rows: Path


@dataclass(frozen=True)
class Model:
    """What the paper trains of one architecture.

    Attributes:
      title: its name in reports.
      row_prefix: what its rows of the tables begin with, "" for the paper's main model.
      task: what it is trained on.
      learning_rates: {optimizer: constant learning rate}, of MeZO's authors when all parameters
        are trained.
    """

    title: str
    row_prefix: str
    task: Task
    learning_rates: dict[str, float]


# By architecture, the word of a checkpoint's config.json.
MODELS = {
    "roberta": Model(
        "RoBERTa",
        "",
        Task("sst2", "SST-2", MICRO / "sst2_train.tsv"),
        {MEZO: 1e-6, ADAM: 1e-5},
    ),
    "opt": Model(
        "OPT",
        "OPT ",
        Task("wic", "rows in WiC's format", Path(__file__).with_name("wic_rows.jsonl")),
        {MEZO: 1e-7},
    ),
}


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's tables, which print two values a cell without saying of what.

    Attributes:
      architecture: key of MODELS.
      optimizer: MEZO or ADAM.
      size: SMALL or LARGE, of the batch.
      gigabytes: peak memory, None where it ran out of memory.
      step_seconds: time per step, None where it ran out of memory.
      rounded: whether the paper says "about".
      in_figure1: whether the paper's figure 1 shows its loss.
    """

    architecture: str
    optimizer: str
    size: str
    gigabytes: tuple[float, ...] | None
    step_seconds: tuple[float, ...] | None
    rounded: bool = False
    in_figure1: bool = True


PAPER = (
    PaperRow("roberta", MEZO, SMALL, (4.8, 4.6), (97, 83)),
    PaperRow("roberta", MEZO, LARGE, (4.0, 4.5), (123, 121)),
    PaperRow("roberta", ADAM, SMALL, (6.5, 6.7), (74, 85)),
    PaperRow("roberta", ADAM, LARGE, None, None),
    PaperRow("opt", MEZO, SMALL, (6.5,), (1800,), rounded=True, in_figure1=False),
)


@dataclass(frozen=True)
class Scale:
    """A size of reproduction.

    Attributes:
      models: {architecture: preset}.
      batch_sizes: rows of the SMALL and the LARGE batch.
      limit_bytes: hard limit on the memory of every cell.
      has_weights: whether the package holds weights of the presets.
      needs: the disk space in words, for the help.
    """

    models: dict[str, str]
    batch_sizes: tuple[int, int]
    limit_bytes: int
    has_weights: bool
    needs: str

    def rows_of(self, size: str) -> int:
        """Returns the rows of the SMALL or the LARGE batch."""
        small, large = self.batch_sizes
        return {SMALL: small, LARGE: large}[size]


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
    """A bundle that cells need: its architecture, optimizers and rows of the forward signatures."""

    architecture: str
    optimizers: str
    batch_size: int

    @property
    def name(self) -> str:
        """Returns the name of its folder."""
        return f"{self.architecture}-{self.optimizers.replace(',', '-')}-{self.batch_size}"


@dataclass(frozen=True)
class Cell:
    """One measurement: a run in its own process.

    Attributes:
      side: POCKETLLM or PYTORCH.
      architecture: key of MODELS.
      optimizer: MEZO or ADAM.
      batch_size: rows a step.
    """

    side: str
    architecture: str
    optimizer: str
    batch_size: int

    @property
    def name(self) -> str:
        """Returns its name on the command line, in DIR and in reports."""
        return f"{self.side}-{self.architecture}-{self.optimizer}-{self.batch_size}"

    @property
    def model(self) -> Model:
        """Returns what the paper trains of its architecture."""
        return MODELS[self.architecture]

    @property
    def export(self) -> Export:
        """Returns the bundle it runs on; PyTorch reads only the weights.

        PocketLLM's Adam takes the batch in one call, because that keeps the activations.
        """
        if (self.side, self.optimizer) == (POCKETLLM, ADAM):
            return Export(self.architecture, f"{MEZO},{ADAM}", self.batch_size)
        return Export(self.architecture, MEZO, BUNDLE_ROWS)


def cell_of(scale: Scale, row: PaperRow, side: str) -> Cell:
    """Returns the cell that repeats a row of the paper on one side."""
    return Cell(side, row.architecture, row.optimizer, scale.rows_of(row.size))


def cells_of(scale: Scale) -> list[Cell]:
    """Returns a scale's cells in their order of running: those of one bundle together."""
    cells = [cell_of(scale, row, side) for side in (POCKETLLM, PYTORCH) for row in PAPER]
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
