"""Settings of an export, and what the model and its tokenizer allow."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.optim.table import DEFAULT, OPTIMIZERS, SIGNATURES
from pocketllm.runtime.tasks.codec import Task

from .checkpoint.tokenizer import SpecialSpellings, special_ids
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
      model_commit: of a model of the Hub; None for any other.
      config: of the architecture.
      task: template and label words, of the architecture's style.
      batch_size: rows of the forward signatures.
      lengths: tokens of the forward signatures, ascending.
      noise_kind: one of contract.NOISE_KINDS.
      option_tokens: longest option to score; 0 for what the task needs.
      tuning: what is trained, and how the rest is stored.
      optimizers: whose signatures are exported, from `signatures_of`.
      sizes: of the pieces of parameters.
      special_tokens: how the checkpoint's tokenizer spells them; None as the architecture does.
    """

    model_name: str
    config: ModelConfig
    task: Task
    batch_size: int
    lengths: tuple[int, ...]
    noise_kind: str
    option_tokens: int = 0
    tuning: Tuning = FULL_TUNING
    optimizers: tuple[str, ...] = (OPTIMIZERS[DEFAULT].signatures,)
    sizes: Sizes = USUAL_SIZES
    special_tokens: SpecialSpellings | None = None
    model_commit: str | None = None

    @property
    def spellings(self) -> SpecialSpellings:
        """How the tokens that frame and fill a row are spelled."""
        return self.special_tokens or architecture_of(self.config).special_tokens


def signatures_of(optimizers: Sequence[str]) -> tuple[str, ...]:
    """Returns the entries of a bundle's `optimizers`, the default's first, for those asked for.

    Raises:
      InputError: one that has no signatures.
    """
    unknown = [name for name in optimizers if name not in SIGNATURES]
    if unknown:
        raise InputError(
            f"--optimizers={','.join(optimizers)}: expected some of {', '.join(SIGNATURES)}"
        )
    return tuple(n for n in SIGNATURES if n in (OPTIMIZERS[DEFAULT].signatures, *optimizers))


def check_lengths(settings: Settings) -> None:
    """Raises InputError for a batch size or lengths that the model cannot have."""
    lengths, limit = settings.lengths, settings.config.max_tokens
    if settings.batch_size < 1:
        raise InputError(f"--batch_size={settings.batch_size}: expected at least 1")
    if not lengths or min(lengths) < 8:
        raise InputError(f"--lengths={','.join(map(str, lengths))}: expected lengths of 8 or more")
    if max(lengths) > limit:
        raise InputError(
            f"--lengths: found {max(lengths)} tokens, expected at most {limit}: "
            f"max_position_embeddings in the config.json of {settings.model_name} has positions "
            "for no more"
        )


def check_tokenizer(settings: Settings, tokenizer: Tokenizer) -> None:
    """Raises InputError for a tokenizer that is not the checkpoint's."""
    special_ids(tokenizer, settings.spellings, architecture_of(settings.config).style)
    vocabulary, tokens = tokenizer.get_vocab(with_added_tokens=True), settings.config.vocab_size
    last = max(vocabulary, key=vocabulary.__getitem__)
    if vocabulary[last] >= tokens:
        raise InputError(
            f"{settings.model_name}: the tokenizer's ids go up to {vocabulary[last]}, the model "
            f"has {tokens} tokens and none for {last!r}; give the tokenizer files of this "
            "checkpoint (added_tokens.json and tokenizer_config.json may add tokens too), or "
            "weights whose embeddings were resized for them"
        )
