"""Byte-level BPE as the papers and GPT-2's code have it, in plain Python: no tokenizer library.

SmolLM2's rule cuts every digit off by itself, then each part by GPT-2's expression
`'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`, then merges
the bytes of each piece in the order of the merges.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from unicodedata import category

# Unicode's White_Space, which str.isspace does not stick to.
SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | frozenset(
    map(chr, range(0x2000, 0x200B))
)
CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


class ByteLevelBpe:
    """A vocabulary and its merges.

    Attributes:
      ids: token, in GPT-2's spelling of bytes -> id.
      ranks: pair of tokens -> its place among the merges.
      digits: whether every digit is a part of its own.
    """

    def __init__(self, tokens: Sequence[str], merges: Sequence[str], digits: bool):
        self.ids = {token: number for number, token in enumerate(tokens)}
        self.ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
        self.digits = digits

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text in which nothing is a special token."""
        parts = digits_apart(text) if self.digits else [text]
        pieces = (piece for part in parts for piece in gpt2_pieces(part))
        return [self.ids[token] for piece in pieces for token in self._merged(piece)]

    def encode_with(self, specials: Sequence[str], text: str) -> list[int]:
        """Returns the ids of a text in which these spellings are special tokens."""
        first = min(
            ((text.index(token), -len(token), token) for token in specials if token in text),
            default=None,
        )
        if first is None:
            return self.encode(text)
        start, _, token = first
        behind = self.encode_with(specials, text[start + len(token) :])
        return [*self.encode(text[:start]), self.ids[token], *behind]

    def _merged(self, piece: str) -> list[str]:
        symbols = [BYTE_SPELLINGS[byte] for byte in piece.encode()]
        while len(symbols) > 1:
            pairs = list(pairwise(symbols))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            merged, place = [], 0
            while place < len(symbols):
                if tuple(symbols[place : place + 2]) == best:
                    merged.append("".join(best))
                    place += 2
                else:
                    merged.append(symbols[place])
                    place += 1
            symbols = merged
        return symbols


def digits_apart(text: str) -> Iterator[str]:
    """Yields what stands between numerals, and every numeral by itself."""
    start = 0
    for place, character in enumerate(text):
        if _kind(character) == "N":
            if place > start:
                yield text[start:place]
            yield character
            start = place + 1
    if start < len(text):
        yield text[start:]


def gpt2_pieces(text: str) -> Iterator[str]:
    """Yields the matches of GPT-2's expression, which leave nothing out."""
    place = 0
    while place < len(text):
        end = _end_of_piece(text, place)
        yield text[place:end]
        place = end


def _end_of_piece(text, start):
    for contraction in CONTRACTIONS:
        if text.startswith(contraction, start):
            return start + len(contraction)
    body = start + (text[start] == " ")
    if body < len(text) and (kind := _kind(text[body])) != " ":
        return _end_of_kind(text, body, kind)
    end = _end_of_kind(text, start, " ")
    # White space leaves its last character to what follows, if there is more than that one.
    return end - 1 if end < len(text) and end - start > 1 else end


def _end_of_kind(text, start, kind):
    end = start
    while end < len(text) and _kind(text[end]) == kind:
        end += 1
    return end


def _kind(character):
    """Returns " " for white space, "L" for letters, "N" for numerals, "" for the rest."""
    if character in SPACES:
        return " "
    major = category(character)[0]
    return major if major in "LN" else ""


def _byte_spellings():
    """Returns GPT-2's spelling of each byte: itself if it prints, else the next above 255."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    spelled = {byte: chr(byte) for byte in printed}
    return spelled | {byte: chr(256 + number) for number, byte in enumerate(others)}


BYTE_SPELLINGS = _byte_spellings()
