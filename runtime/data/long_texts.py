"""Texts far longer than a row: only what can reach the row is tokenised, with the same ids.

A text is cut where byte-level BPE cuts it too, before a lone space or between a letter and a sign;
tokens next to the cut are not used. A run of one sign, or of letters without a space, has no such
place. More of the text is read then, up to UNBROKEN characters or LONG for each token; a longer run
is cut where the part ends, and may there be other tokens than in the whole.
"""

import unicodedata
from collections.abc import Iterator

from tokenizers import Tokenizer

from .tokenizer import token_ids

# Characters a token that are read at first, and from how many on a text is cut at all.
READ, LONG = 8, 32
# Tokens next to a cut that are not used: a special token may be spelled across it.
MARGIN = 32
# Characters, at least, that are searched for a place to cut an end at.
SEARCHED = 4096
# So many characters, at least, are read where there is no place to cut at.
UNBROKEN = 8192


def head_ids(tokenizer: Tokenizer, text: str, tokens: int) -> list[int]:
    """Returns the ids of a text: all, or of a long one its first, `tokens` of them at least."""
    head, ids = _head(tokenizer, text, tokens)
    return ids[:-MARGIN] if ids else token_ids(tokenizer, head)


def head_of(tokenizer: Tokenizer, text: str, tokens: int) -> str:
    """Returns a text, or of a long one its beginning, whose first `tokens` tokens are the whole's.

    It has MARGIN more, or is all.
    """
    return _head(tokenizer, text, tokens)[0]


def _head(tokenizer, text, tokens):
    """Returns the beginning of a text and its ids, MARGIN of them too many; or all and no ids."""
    size = READ * (tokens + MARGIN)
    while LONG * tokens < len(text) and size < len(text):
        place = _boundary(text, size, size // 2)
        if place is not None or size >= max(UNBROKEN, LONG * tokens):
            head = text[: place or size]
            ids = token_ids(tokenizer, head)
            if len(ids) >= tokens + MARGIN:
                return head, ids
        size *= 2
    return text, []


def tail_of(tokenizer: Tokenizer, text: str, tokens: int) -> str:
    """Returns a text, or of a long one its end, whose last `tokens` tokens are the whole's.

    An end that would begin with white space begins with a letter, so that it can be stripped.
    """
    size = READ * (tokens + MARGIN)
    while LONG * tokens < len(text) and size < len(text):
        first = len(text) - size
        place = _boundary(text, first, first - max(size, SEARCHED))
        if place is not None or size >= max(UNBROKEN, LONG * tokens):
            end = text[place or first :]
            end = "x" + end if end[:2].isspace() else end
            if len(token_ids(tokenizer, end)) >= tokens + MARGIN:
                return end
        size *= 2
    return text


def parts_of(text: str, size: int) -> Iterator[tuple[int, int, int]]:
    """Yields places (before, first, last) of parts of at most `size` characters, all of a text.

    The tokens of text[before:last] that end behind `first` are those of the whole text there: parts
    end before a lone space. Where there is none, a part ends anywhere, and the next begins there.
    """
    before = first = 0
    while first < len(text):
        last, follows = len(text), len(text)
        if first + size < last:
            space = _space(text, first + size, first + size // 2)
            last = space or first + size
            follows = last - MARGIN if space else last
        yield before, first, last
        before, first = follows, last


def _space(text: str, place: int, first: int) -> int | None:
    """Returns the last place from `first` to `place` of a lone space; None if there is none."""
    for i in range(place, first, -1):
        if text[i] == " " and not text[i - 1].isspace() and not text[i + 1 : i + 2].isspace():
            return i
    return None


def _boundary(text: str, place: int, first: int) -> int | None:
    """Returns the last place from `first` to `place` where tokens end; None if there is none."""
    for i in range(place, max(first, 1), -1):
        before, sign, behind = text[i - 1], text[i], text[i + 1 : i + 2]
        if sign == " " and not before.isspace() and behind and not behind.isspace():
            return i
        if before.isalpha() and sign != "'" and unicodedata.category(sign)[0] in "PS":
            return i
    return None
