"""The tokenizer of a bundle: loaded, and called; what the library raises, as one line.

No other module of the runtime calls it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tokenizers import Encoding, Tokenizer

from ..errors import InputError, first_line, is_of_tokenizers

REASON_CHARACTERS = 120
# Tokenised together, on all cores: so many characters.
CHARACTERS_AT_ONCE = 1 << 19

T = TypeVar("T")


def load_tokenizer(path) -> Tokenizer:
    """Loads a tokenizer.json; padding and truncation are off, whatever the file says.

    Raises:
      InputError: the file is missing, or no tokenizer.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: not found, expected a tokenizer.json; export the bundle again")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except BaseException as error:
        raise _refusal(
            error,
            f"{path}: found no readable tokenizer",
            ", expected a tokenizer.json; export the bundle again",
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


@contextmanager
def tokenising(path, data) -> Iterator[None]:
    """Names the tokenizer in what the library raises while it cuts texts into tokens.

    Args:
      path: the tokenizer.json.
      data: the file that the texts are of.

    Raises:
      InputError: the library failed, or panicked.
    """
    try:
        yield
    except BaseException as error:
        raise _refusal(
            error,
            f"{path}: the tokenizer failed on a text of {data}",
            "; take that text out, or export the bundle again with the checkpoint's tokenizer",
        ) from error


def _refusal(error, before, after):
    """Returns the InputError for a failure of the library; raises any other again."""
    if not is_of_tokenizers(error):
        raise error
    return InputError(f"{before} ({first_line(error)[:REASON_CHARACTERS]}){after}")


def token_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Returns the ids of a text; a special token that it spells is text like any other."""
    with _as_text(tokenizer):
        return tokenizer.encode(text, add_special_tokens=False).ids


def all_token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Returns the ids of each text, as `token_ids` does, on all cores."""
    return [encoding.ids for encoding in all_encodings(tokenizer, texts)]


def all_encodings(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Encoding]:
    """Returns the ids of each text with their offsets, as `token_ids` does, on all cores."""
    with _as_text(tokenizer):
        return tokenizer.encode_batch(list(texts), add_special_tokens=False)


def grouped(items: Iterable[T], characters: Callable[[T], int]) -> Iterator[list[T]]:
    """Yields items whose texts are tokenised together: as many as memory bears.

    Args:
      items: in order.
      characters: how many an item has.
    """
    some, size = [], 0
    for item in items:
        some.append(item)
        size += characters(item)
        if size >= CHARACTERS_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def template_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Returns the ids of a task's own text; a special token that it spells is this token."""
    return tokenizer.encode(text, add_special_tokens=False).ids


@contextmanager
def _as_text(tokenizer: Tokenizer) -> Iterator[None]:
    before = tokenizer.encode_special_tokens
    tokenizer.encode_special_tokens = True
    try:
        yield
    finally:
        tokenizer.encode_special_tokens = before
