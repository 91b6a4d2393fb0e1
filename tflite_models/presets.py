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

PRESETS = {
    "roberta-micro": Preset(MICRO / "config.json", MICRO, MICRO),
    "roberta-base": Preset(HERE / "presets/roberta-base.json", HERE / "roberta_tokenizer", None),
    "roberta-large": Preset(HERE / "presets/roberta-large.json", HERE / "roberta_tokenizer", None),
}
