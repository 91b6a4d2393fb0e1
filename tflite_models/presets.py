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
      tokenizer_config: its tokenizer_config.json, or None where the tokenizer's folder has it.
    """

    config_path: Path
    tokenizer_folder: Path
    checkpoint_folder: Path | None
    tokenizer_config: Path | None = None


MICRO = HERE / "roberta_micro"
OPT_MICRO = HERE / "opt_micro"
# Of the published tasks, for export/tasks/lengths.py.
ROW_LENGTHS = HERE / "opt_row_lengths.json"

# OPT shares RoBERTa's vocabulary; only what tokenizer_config.json says differs.
TOKENIZER = HERE / "roberta_tokenizer"
# Of presets whose own tokenizer is too large to come with them; micro/stand_in.py makes it.
STAND_IN = HERE / "stand_in_tokenizer"
# Name -> model type; their weights must be had elsewhere.
SIZES = {
    "roberta-base": "roberta",
    "roberta-large": "roberta",
    "opt-125m": "opt",
    "opt-350m": "opt",
    "opt-1.3b": "opt",
    "opt-2.7b": "opt",
}
# The same, with the stand-in tokenizer: sizes to measure, not models to use.
MEASURED = (
    "bert-base",
    "smollm2-135m",
    "smollm2-360m",
    "qwen2.5-0.5b",
    "qwen3-0.6b",
    "gemma3-270m",
    "gemma3-1b",
    "llama3.2-1b",
)

# Name -> where the weights are to be had: a model on the Hugging Face Hub.
ON_HUB = {
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
    "opt-125m": "facebook/opt-125m",
    "opt-350m": "facebook/opt-350m",
    "opt-1.3b": "facebook/opt-1.3b",
    "opt-2.7b": "facebook/opt-2.7b",
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M",
    "smollm2-360m": "HuggingFaceTB/SmolLM2-360M",
    "qwen2.5-0.5b": "Qwen/Qwen2.5-0.5B",
    "qwen3-0.6b": "Qwen/Qwen3-0.6B",
    "gemma3-270m": "google/gemma-3-270m",
    "gemma3-1b": "google/gemma-3-1b-pt",
    "llama3.2-1b": "meta-llama/Llama-3.2-1B",
    "bert-base": "google-bert/bert-base-uncased",
}

PRESETS = {
    "roberta-micro": Preset(MICRO / "config.json", MICRO, MICRO),
    "opt-micro": Preset(OPT_MICRO / "config.json", OPT_MICRO, OPT_MICRO),
    **{
        name: Preset(
            HERE / f"presets/{name}.json", TOKENIZER, None, HERE / f"presets/{kind}_tokenizer.json"
        )
        for name, kind in SIZES.items()
    },
    **{name: Preset(HERE / f"presets/{name}.json", STAND_IN, None) for name in MEASURED},
}
