"""What a bundle is made of, wherever it lies."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint.reader import Checkpoint
from ..checkpoint.source_files import SourceFiles


@dataclass(frozen=True)
class Source:
    """A model: its config, its tokenizer and its weights, none of them read yet.

    Attributes:
      name: of the model, for people: the preset's, the folder's, the Hub's, the GGUF file's own.
      config_path: the file that the config stands in, for error messages.
      read_config: returns the values of config.json; InputError where there are none.
      tokenizer: folder of the tokenizer's files.
      small_files: reads what the model has beside its weights; InputError where that fails.
      open_weights: opens the weights; None where they are drawn.
      commit: of a model of the Hub, 40 digits; None for any other.
      own_tokenizer: whether the tokenizer is a preset's, whose special tokens are known.
    """

    name: str
    config_path: Path
    read_config: Callable[[], dict]
    tokenizer: Path
    small_files: Callable[[], SourceFiles]
    open_weights: Callable[[], Checkpoint] | None
    commit: str | None = None
    own_tokenizer: bool = False
