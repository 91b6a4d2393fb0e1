"""Settings of an export, and what the model and its tokenizer allow."""

from dataclasses import dataclass

from tokenizers import Tokenizer

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.tasks.codec import Task

from .checkpoint.tokenizer import special_ids
from .flatbuffer.variables import CHUNK_VALUES, LINEAR_VALUES, SLICE_BYTES
from .models import ModelConfig, architecture_of
from .tune.settings import FULL_TUNING, Tuning


@dataclass(frozen=True)
class Sizes:
    """Largest pieces that the parameters are cut into.

    Attributes:
      chunk_values: values of a table's chunk of rows.
      linear_values: values of a matrix's chunk, and of a chunk of a frozen head.
      slice_bytes: bytes of the variables that one `initialize_*` call brings in.
    """

    chunk_values: int = CHUNK_VALUES
    linear_values: int = LINEAR_VALUES
    slice_bytes: int = SLICE_BYTES


USUAL_SIZES = Sizes()


@dataclass(frozen=True)
class Settings:
    """What to export.

    Attributes:
      model_name: what the bundle calls its model.
      config: of the architecture.
      task: template and label words, of the architecture's style.
      batch_size: rows of the forward signatures.
      lengths: tokens of the forward signatures, ascending.
      noise_kind: one of contract.NOISE_KINDS.
      option_tokens: longest option to score; 0 for what the task needs.
      tuning: what is trained, and how the rest is stored.
      adam: whether `adam_step` is exported beside MeZO's signatures.
      sizes: of the pieces of parameters.
    """

    model_name: str
    config: ModelConfig
    task: Task
    batch_size: int
    lengths: tuple[int, ...]
    noise_kind: str
    option_tokens: int = 0
    tuning: Tuning = FULL_TUNING
    adam: bool = False
    sizes: Sizes = USUAL_SIZES


def check_lengths(settings: Settings) -> None:
    """Raises InputError for a batch size or lengths that the model cannot have."""
    lengths, limit = settings.lengths, settings.config.max_tokens
    if settings.batch_size < 1:
        raise InputError(f"--batch_size={settings.batch_size}: expected at least 1")
    if not lengths or min(lengths) < 8:
        raise InputError(f"--lengths={','.join(map(str, lengths))}: expected lengths of 8 or more")
    if max(lengths) > limit:
        raise InputError(
            f"--lengths: {max(lengths)} tokens, {settings.model_name} has positions for {limit}"
        )


def check_tokenizer(settings: Settings, tokenizer: Tokenizer) -> None:
    """Raises InputError for a tokenizer that is not the checkpoint's."""
    architecture = architecture_of(settings.config)
    special_ids(tokenizer, architecture.special_tokens, architecture.style)
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if highest >= settings.config.vocab_size:
        raise InputError(
            f"{settings.model_name}: the tokenizer's ids go up to {highest}, the model has "
            f"{settings.config.vocab_size} tokens; give the tokenizer files of this checkpoint"
        )
