"""The tokenizer files of a checkpoint folder: which there are, and that each is what it says."""

import codecs
import importlib.util
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenizers import Tokenizer, __version__

from pocketllm.runtime.errors import InputError, first_line, is_of_tokenizers
from pocketllm.runtime.host.files import read_json
from pocketllm.runtime.host.foreign import foreign_kind

TOKENIZER_JSON, VOCAB, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
TOKENIZER_CONFIG = "tokenizer_config.json"
# A tokenizer.json from some version of transformers on, which tokenizer_config.json may name.
VERSIONED = re.compile(r"tokenizer\.\d[\w.+-]*\.json")
# Say something of a tokenizer that its vocabulary does not: a class, settings, more tokens.
SETTINGS = (TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json")
# Vocabularies of other tokenizers, which transformers turns into a tokenizer.json.
OTHER_VOCABULARIES = ("vocab.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
TOKENIZER_FILES = (*SETTINGS, TOKENIZER_JSON, VOCAB, MERGES, *OTHER_VOCABULARIES)
# Vocabularies that transformers reads under no name: of mistral-common, and of Qwen 1.
FOREIGN = re.compile(r"tekken\.json|.+\.tiktoken")
AGAIN = "copy it from the checkpoint again"


def check_files(folder: Path) -> set[str]:
    """Checks the files that a tokenizer is made of.

    Returns:
      The names of those that the folder holds.

    Raises:
      InputError: no vocabulary, or a file that is not readable, by its name.
    """
    names = {name for name in TOKENIZER_FILES if (folder / name).is_file()}
    for name in sorted(names):
        _check_kind(folder / name)
    values = {name: read_json(folder / name, AGAIN) for name in sorted(names & {VOCAB, *SETTINGS})}
    versions = _versions(folder, values.get(TOKENIZER_CONFIG, {}))
    for name in sorted(versions):
        _check_kind(folder / name)
    names |= versions
    whole = names & {TOKENIZER_JSON, *versions}
    for name in sorted(whole):
        _check_tokenizer_json(folder / name)
    if whole:
        return names
    missing = [name for name in (VOCAB, MERGES) if name not in names]
    if missing and not names & set(OTHER_VOCABULARIES):
        foreign = sorted(path.name for path in folder.glob("*") if FOREIGN.fullmatch(path.name))
        instead = f" (found {foreign[0]}, which is no tokenizer of transformers)" if foreign else ""
        raise InputError(
            f"{folder}: {' and '.join(missing)} not found{instead}, expected tokenizer.json, or "
            "vocab.json and merges.txt; copy them from the checkpoint"
        )
    if missing:
        for name in sorted(names & set(OTHER_VOCABULARIES)):
            _check_convertible(folder / name)
    return names


def _check_convertible(path):
    """Raises InputError for a vocabulary that transformers turns into nothing without a library."""
    if path.suffix != ".model":
        return
    with open(path, "rb") as file:
        # SentencePiece's is a protobuf, whose first field is a piece; tiktoken's is lines of text.
        library = "sentencepiece" if file.read(1) == b"\n" else "tiktoken"
    if importlib.util.find_spec(library) is None:
        raise InputError(
            f"{path}: a vocabulary of {library}, without a tokenizer.json beside it; run `pip "
            f"install {library}`, with which transformers makes one, or copy tokenizer.json from "
            "the checkpoint"
        )


def is_unframed(names: Collection[str]) -> bool:
    """Returns whether a vocabulary stands alone: it does not say how a text is framed."""
    return not set(names) & set(TOKENIZER_FILES) - {VOCAB, MERGES}


def _versions(folder, config):
    """Returns the files for some versions of transformers that tokenizer_config.json names."""
    listed = config.get("fast_tokenizer_files")
    return {
        name
        for name in (listed if isinstance(listed, list) else [])
        if isinstance(name, str) and VERSIONED.fullmatch(name) and (folder / name).is_file()
    }


def _check_kind(path):
    kind = foreign_kind(path) or _marked(path)
    if kind:
        raise InputError(f"{path}: found no readable tokenizer: {kind}")


@contextmanager
def naming_files(folder: Path) -> Iterator[None]:
    """Names the tokenizer's file, or the folder of several, where `tokenizers` fails or panics.

    Raises:
      InputError: instead of the library's plain Exception, and of its panic, which is none.
    """
    try:
        yield
    except BaseException as error:
        if not is_of_tokenizers(error):
            raise
        path = folder / TOKENIZER_JSON
        raise InputError(
            f"{path if path.is_file() else folder}: `tokenizers` {__version__} fails on it "
            f"({first_line(error)}); {AGAIN}"
        ) from error


def declared_tokens(folder: Path, names: set[str]) -> set[str]:
    """Returns the tokens beyond the vocabulary that a checkpoint's own files name."""
    tokens: set[str] = set()
    for name in names & set(SETTINGS):
        _collect(read_json(folder / name, AGAIN), tokens)
    for name in names & {TOKENIZER_JSON} | set(filter(VERSIONED.fullmatch, names)):
        added = Tokenizer.from_file(str(folder / name)).get_added_tokens_decoder()
        tokens.update(token.content for token in added.values())
    return tokens


def _marked(path):
    """Says that a JSON file begins with a byte-order mark, which transformers does not take."""
    if path.suffix != ".json":
        return None
    with open(path, "rb") as file:
        marked = file.read(3) == codecs.BOM_UTF8
    return "a byte-order mark before its JSON; save it as UTF-8 without one" if marked else None


def _collect(value, tokens):
    """Adds every string, and every key, of a JSON value: a token is spelled as one of them."""
    if isinstance(value, str):
        tokens.add(value)
    elif isinstance(value, dict):
        tokens.update(value)
        for inner in value.values():
            _collect(inner, tokens)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, tokens)


def _check_tokenizer_json(path):
    """Raises InputError for a tokenizer.json that `tokenizers` does not read."""
    try:
        Tokenizer.from_file(str(path))
    except BaseException as error:  # plain Exception, or PanicException, which is none
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise InputError(
            f"{path}: found no readable tokenizer ({first_line(error)}), expected a tokenizer.json "
            f"that `tokenizers` {__version__} reads; {_remedy(path)}"
        ) from error


def _remedy(path):
    try:
        whole = isinstance(json.loads(path.read_bytes()), dict)
    except (ValueError, RecursionError):
        return AGAIN
    return f"update `tokenizers` if a newer one made it, or {AGAIN}" if whole else AGAIN
