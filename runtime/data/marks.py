"""Marks: special tokens that a text spells on purpose, in a text that is otherwise a person's.

A special token is written between two noncharacters of Unicode: these marks are what the tokenizer
cuts out, in the way in which it would cut out the tokens, and what then becomes their ids. All else
is text, so that no person's text yields a special token.
"""

import re
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer

BEGIN, END, REPLACEMENT = "\ufdd0", "\ufdd1", "\ufffd"


class Marks:
    """The marks that a tokenizer knows."""

    def __init__(self, tokenizer: Tokenizer, end: int | None = None):
        """Begins without any; the tokenizer has more tokens from the first `teach` on.

        Args:
          tokenizer: whose special tokens can be spelled.
          end: a further id that can be; a vocabulary may have the end token as a mere word.
        """
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        special = {number: token for number, token in added.items() if token.special}
        if end is not None and (word := tokenizer.id_to_token(end)):
            special.setdefault(end, AddedToken(word))
        self._special = {token.content: (n, token) for n, token in special.items()}
        longest_first = sorted(self._special, key=len, reverse=True)
        pattern = "|".join(map(re.escape, longest_first))
        self._pattern = re.compile(pattern) if pattern else None
        self._ids: dict[int, int] = {}  # of a mark -> that of its token
        self._taught: set[str] = set()

    def spelled(self, text: str) -> list[str]:
        """Returns the special tokens that a text spells, each as often as it does."""
        return self._pattern.findall(text) if self._pattern else []

    def teach(self, texts: Iterable[str]) -> None:
        """Makes the marks of what these texts spell known to the tokenizer."""
        spelled = {token for text in texts for token in self.spelled(text)} - self._taught
        if not spelled:
            return
        self._tokenizer.add_tokens([_added(self._special[token][1]) for token in sorted(spelled)])
        for token in spelled:
            mark = self._tokenizer.token_to_id(_mark(token))
            if mark is not None:
                self._ids[mark] = self._special[token][0]
        self._taught |= spelled

    def marked(self, text: str) -> str:
        """Returns a text that was taught, with marks for the special tokens that it spells."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: _mark(match[0]), text)

    def tokens(self, ids: Sequence[int]) -> list[int]:
        """Returns the ids of a marked text, with tokens for marks."""
        return [self._ids.get(number, number) for number in ids]

    @property
    def is_empty(self) -> bool:
        """Whether the tokenizer knows no mark."""
        return not self._taught


def without_marks(text: str) -> str:
    """Returns a person's text without what begins a mark."""
    return text.replace(BEGIN, REPLACEMENT)


def unmarked(text: str) -> str:
    """Returns a marked text as it is spelled, for people to read."""
    return text.replace(BEGIN, "").replace(END, "")


def _mark(token):
    return f"{BEGIN}{token}{END}"


def _added(token: AddedToken) -> AddedToken:
    return AddedToken(
        _mark(token.content),
        single_word=token.single_word,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        normalized=False,
    )
