"""The contents of a bundle, as its manifest describes them."""

import itertools
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .. import contract
from ..tasks.chat import ChatPieces
from ..tasks.codec import Task


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the tokens that frame and fill a row; None where the model has no such token."""

    bos: int | None
    eos: int | None
    pad: int
    mask: int | None


@dataclass(frozen=True)
class Variable:
    """One resource variable: a parameter, or a chunk of its rows.

    Attributes:
      name: name in the `read_*` and `write_*` signatures.
      shape: as `read_*` and `write_*` have it; [1, in, out] of a parameter that is transposed.
      stream: noise stream number.
      offset: of its initial values in the model file: float32, row-major.
      rows: (first, last + 1) row of the parameter, None for a whole one.
    """

    name: str
    shape: tuple[int, ...]
    stream: int
    offset: int
    rows: tuple[int, int] | None = None


@dataclass(frozen=True)
class Parameter:
    """One tensor of the checkpoint: its name and shape there, and the variables that hold it."""

    name: str
    shape: tuple[int, ...]
    transposed: bool
    decays: bool
    variables: tuple[Variable, ...]


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk.

    Attributes:
      folder: where it lies.
      checksum: bundle.json's own, the identity of the whole bundle: it covers the sums of `files`.
        A run belongs to the bundle of one checksum.
      model_name: what it was exported from: a preset, a checkpoint's folder, OWNER/NAME of the Hub.
      style: one of contract.STYLES, how prompts are made and scored.
      architecture: Hugging Face's model_type, for the desktop alone.
      tied_decoder: whether the LM head's decoder is the word embeddings.
      config: the architecture, Hugging Face names.
      task: template, label words or options.
      scoring: one of contract.SCORINGS, what the logits are.
      word_ids: token ids of the label words, none for the other scorings.
      option_tokens: the longest option that the forward signatures take, 0 for "words".
      special_tokens: ids of the tokens that frame and fill a row.
      max_tokens: tokens that the checkpoint has positions for: no length is longer.
      default_eps: size of the probe where none is chosen, in units of z.
      optimizers: those whose signatures it has, "mezo" always.
      batch_size: rows of every forward signature.
      lengths: tokens of the forward signatures, ascending.
      parameters: the parameter table.
      slices: number of `initialize_*`, `read_*` and `write_*` signatures each.
      signatures: name -> {"inputs": {name: [dtype, shape]}, "outputs": likewise}.
      noise: kind and constants, as in bundle.json.
      files: name -> {"bytes", "sha256"}.
      tune: one of contract.TUNES, what is trained: `parameters` lists it.
      base: one of contract.BASES, how the frozen parameters are stored.
      frozen: name -> shape of the parameters that are not trained.
      lora: rank, alpha, targets and extras, where `tune` is "lora".
      model_commit: of a model of the Hub, None of any other.
      context: positions of the cache of the signatures that generate, 0 without these.
      chat: pieces of the model's chat template, None where it has none that is such a table.
      stop_ids: of the tokens that end a text, ascending.
    """

    folder: Path
    checksum: str
    model_name: str
    style: str
    architecture: str
    tied_decoder: bool
    config: dict
    task: Task
    scoring: str
    word_ids: tuple[int, ...]
    option_tokens: int
    special_tokens: SpecialTokens
    max_tokens: int
    default_eps: float
    optimizers: tuple[str, ...]
    batch_size: int
    lengths: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    slices: int
    signatures: dict
    noise: dict
    files: dict
    tune: str
    base: str
    frozen: dict
    lora: dict
    model_commit: str | None = None
    context: int = 0
    chat: ChatPieces | None = None
    stop_ids: tuple[int, ...] = ()

    @property
    def model_path(self) -> Path:
        """The .tflite file."""
        return self.folder / contract.MODEL_FILE

    @property
    def prefills(self) -> tuple[int, ...]:
        """Tokens of the signatures that read a prompt, ascending."""
        stem = contract.prefill_for(0)[:-1]
        numbers = [name.removeprefix(stem) for name in self.signatures if name.startswith(stem)]
        return tuple(sorted(int(number) for number in numbers if number.isdecimal()))

    @property
    def adds_gradients(self) -> bool:
        """Whether a step with gradients may be of several batches."""
        return contract.ADAM_APPLY in self.signatures

    @property
    def has_pairs(self) -> bool:
        """Whether both probes of a step can be one forward pass."""
        return contract.FORWARD_PAIR in self.signatures

    @property
    def has_pure(self) -> bool:
        """Whether there are forward passes without variables, for accelerators."""
        return contract.FORWARD_PURE in self.signatures

    @property
    def moments(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the moments by name, in the order of `adam_read_*`; none without these."""
        signatures = (self.signatures[name] for name in self.moment_readers)
        return {
            name: tuple(shape)
            for signature in signatures
            for name, (_, shape) in signature["outputs"].items()
        }

    @property
    def moment_readers(self) -> tuple[str, ...]:
        """The signatures `adam_read_*`, in order."""
        numbers = map(partial(contract.numbered, contract.ADAM_READ), itertools.count())
        return tuple(itertools.takewhile(self.signatures.__contains__, numbers))

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer's file."""
        return self.folder / contract.TOKENIZER_FILE

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All variables, in stream order."""
        return tuple(v for parameter in self.parameters for v in parameter.variables)
