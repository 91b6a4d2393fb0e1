"""A GGUF file as a checkpoint: its small files at once, its weights when they are wanted."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pocketllm.runtime.errors import InputError

from ..reader import Checkpoint
from .architectures import ARCHITECTURES, architecture_name, transformers_names
from .config import config_values
from .fields import Fields
from .header import read_header
from .small_files import small_files
from .tensors import check_kinds, check_shapes, gguf_checkpoint, rope_factors
from .tokenizer import adds_bos, build_tokenizer
from .vocabulary import read_vocabulary

SUFFIX = ".gguf"
PART = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


@dataclass(frozen=True)
class GgufModel:
    """What a checkpoint's folder would hold.

    Attributes:
      name: of the model: the file's own, else the file name.
      files: {name: bytes} of config.json and the other small files.
      open_weights: opens the tensors.
    """

    name: str
    files: Mapping[str, bytes]
    open_weights: Callable[[], Checkpoint]


def read_gguf(path: Path) -> GgufModel:
    """Reads all of a GGUF file but the values of its tensors, and checks it.

    Raises:
      InputError: it is damaged, contradicts itself, or is no whole language model that is
        implemented.
    """
    path = Path(path)
    _check_whole(path, 1)  # by its name, before it is read
    header = read_header(path)
    fields = Fields(path, header.values)
    parts = fields.values.get("split.count")
    _check_whole(path, parts if type(parts) is int else 1)
    name = architecture_name(fields)
    fields = Fields(path, header.values, name)
    places = transformers_names(
        header.tensors, ARCHITECTURES[name], fields.size(".block_count"), path
    )
    check_kinds(header)
    shapes = {place: header.tensors[place].shape for place in places.values()}
    vocabulary = read_vocabulary(fields, shapes["token_embd.weight"][0])
    width = shapes["blk.0.attn_q.weight"][0] // fields.size(".attention.head_count")
    config = config_values(fields, shapes, vocabulary.special, rope_factors(header, width))
    check_shapes(header, places, config)
    tokenizer = build_tokenizer(vocabulary, path, ordered=name == "gemma3")
    return GgufModel(
        name=_model_name(fields, path),
        files=small_files(fields, config, vocabulary, tokenizer, adds_bos(vocabulary, path)),
        open_weights=lambda: gguf_checkpoint(header, name, places, config),
    )


def _check_whole(path, count):
    """Raises InputError for one part of several, as its name says or `count`."""
    match = PART.fullmatch(path.name)
    named = int(match["count"]) if match else 1
    if max(count, named) > 1:
        parts, stem = max(count, named), match["stem"] if match else path.stem
        raise InputError(
            f"{path}: one of {parts} parts of a model; join them "
            f"(llama-gguf-split --merge {stem}-00001-of-{parts:05}.gguf {stem}.gguf) and give that"
        )


def _model_name(fields, path):
    """Returns the model's name on one line; the file's where it says none."""
    name = fields.values.get("general.name")
    words = " ".join(name.split()) if isinstance(name, str) else ""
    return words if words.isprintable() and words else path.stem
