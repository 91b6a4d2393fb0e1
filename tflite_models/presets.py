"""Model presets: an architecture by name, its tokenizer, and weights where they are bundled."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Preset:
    """A model by name.

    Attributes:
      config_path: its config.json.
      tokenizer_folder: where its tokenizer files lie.
      checkpoint_folder: its weights, or None where they must be had elsewhere.
    """

    config_path: Path
    tokenizer_folder: Path
    checkpoint_folder: Path | None


MICRO = HERE / "roberta_micro"
OPT_MICRO = HERE / "opt_micro"
# Of the published tasks, for export/tasks/lengths.py.
ROW_LENGTHS = HERE / "opt_row_lengths.json"

# Name -> folder of its tokenizer, which OPT shares; their weights must be had elsewhere.
SIZES = {
    "roberta-base": "roberta_tokenizer",
    "roberta-large": "roberta_tokenizer",
    "opt-125m": "roberta_tokenizer",
    "opt-350m": "roberta_tokenizer",
    "opt-1.3b": "roberta_tokenizer",
    "opt-2.7b": "roberta_tokenizer",
}

PRESETS = {
    "roberta-micro": Preset(MICRO / "config.json", MICRO, MICRO),
    "opt-micro": Preset(OPT_MICRO / "config.json", OPT_MICRO, OPT_MICRO),
    **{
        name: Preset(HERE / f"presets/{name}.json", HERE / tokenizer, None)
        for name, tokenizer in SIZES.items()
    },
}
