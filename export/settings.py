"""Settings of an export, and what the model and its tokenizer allow."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from pocketllm.runtime import contract
from pocketllm.runtime.data.encode_text import NO_END
from pocketllm.runtime.errors import InputError
from pocketllm.runtime.optim.table import DEFAULT, OPTIMIZERS, SIGNATURES
from pocketllm.runtime.tasks.chat import ChatPieces
from pocketllm.runtime.tasks.codec import Task
from pocketllm.runtime.tasks.text import CHAT, TextTask

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
LEAST_CONTEXT = 8
USUAL_CONTEXT = 256  # or twice the longest length: a prompt, and as much behind it


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
      context: positions of the cache of the signatures that generate; 0 for none of these.
      chat: pieces of the chat template; None without one.
      stop_ids: of the tokens that end a text.
      pairs: whether there are signatures of both probes in one forward pass.
      pure: whether there are forward passes without variables, for accelerators.
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
    context: int = 0
    chat: ChatPieces | None = None
    stop_ids: tuple[int, ...] = ()
    pairs: bool = False
    pure: bool = False

    @property
    def spellings(self) -> SpecialSpellings:
        """How the tokens that frame and fill a row are spelled."""
        return self.special_tokens or architecture_of(self.config).special_tokens

    @property
    def prefills(self) -> tuple[int, ...]:
        """Tokens of the signatures that read a prompt, ascending: the lengths, within the cache."""
        return tuple(sorted({min(length, self.context) for length in self.lengths}))


def signatures_of(optimizers: Sequence[str]) -> tuple[str, ...]:
    """Returns the entries of a bundle's `optimizers`, the default's first, for those asked for.

    Raises:
      InputError: no optimizer's name.
    """
    unknown = [name for name in optimizers if name not in OPTIMIZERS]
    if unknown:
        raise InputError(
            f"--optimizers={','.join(optimizers)}: expected some of {', '.join(OPTIMIZERS)}"
        )
    needed = {OPTIMIZERS[name].signatures for name in (DEFAULT, *optimizers)}
    return tuple(name for name in SIGNATURES if name in needed)


def context_of(
    generate: bool | None,
    context: int | None,
    task: Task,
    lengths: Sequence[int],
    *,
    config: ModelConfig,
    tuning: Tuning,
) -> int:
    """Returns the positions of the cache of a bundle that generates, 0 of one that does not.

    Args:
      generate: whether it was asked for; None where neither yes nor no was said.
      context: positions asked for; None for the usual ones.
      task: own text is generated unless it was refused.
      lengths: tokens of the forward signatures.
      config: of the architecture.
      tuning: a prefix may take positions.

    Raises:
      InputError: positions for nothing.
    """
    if generate is None:
        generate = isinstance(task, TextTask) or context is not None
    if not generate:
        if context is not None:
            raise InputError(f"--context={context} goes with --generate")
        return 0
    if context is not None:
        return context
    usual = max(USUAL_CONTEXT, 2 * max(lengths, default=0))
    return min(usual, _free_positions(config, tuning))


def check_context(settings: Settings) -> None:
    """Raises InputError for signatures that generate which the model cannot have."""
    context, architecture = settings.context, architecture_of(settings.config)
    if context == 0:
        return
    if architecture.next_logits is None:
        raise InputError(
            f"--generate: {architecture.model_type} models fill in masked words and write no text; "
            "export a causal model, or leave it out"
        )
    if settings.tuning.kind == contract.HEAD_WORDS:
        raise InputError(
            "--generate: --tune=head trains the rows of the label words alone, which no text is "
            "written with; take another --tune, or leave it out"
        )
    most = _free_positions(settings.config, settings.tuning)
    if not LEAST_CONTEXT <= context <= most:
        raise InputError(
            f"--context={context}: expected {LEAST_CONTEXT} to {most}, the positions that "
            f"{settings.model_name} has for tokens"
        )


def _free_positions(config, tuning):
    """Returns the positions of a model that a learnt prefix does not take."""
    moved = architecture_of(config).prefix_moves_positions and tuning.kind == contract.PREFIX
    return config.max_tokens - (tuning.prefix_tokens if moved else 0)


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
    special = special_ids(tokenizer, settings.spellings, architecture_of(settings.config).style)
    if isinstance(settings.task, TextTask) and settings.task.form != CHAT and special.eos is None:
        raise InputError(
            f"{settings.model_name}: {NO_END}; name its eos_token in tokenizer_config.json"
        )
    vocabulary, tokens = tokenizer.get_vocab(with_added_tokens=True), settings.config.vocab_size
    last = max(vocabulary, key=vocabulary.__getitem__)
    if vocabulary[last] >= tokens:
        raise InputError(
            f"{settings.model_name}: the tokenizer's ids go up to {vocabulary[last]}, the model "
            f"has {tokens} tokens and none for {last!r}; give the tokenizer files of this "
            "checkpoint (added_tokens.json and tokenizer_config.json may add tokens too), or "
            "weights whose embeddings were resized for them"
        )
