"""The text of tokens as they come: whole characters alone."""

from collections.abc import Sequence

from tokenizers import Tokenizer

UNFINISHED = "\ufffd"  # what decoders put for bytes that are no character


def text_of_ids(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Returns the text of tokens; special tokens are no text."""
    return tokenizer.decode(list(ids), skip_special_tokens=True)


class TextStream:
    """Gives the text that each token adds, once its last character is whole."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        # What was given ends with the text of ids[begin:end]; a decoder may change the beginning
        # of a text, so that the tokens before are decoded too, and their text taken off.
        self._begin = self._end = 0

    def add(self, token: int) -> str:
        """Returns the text that can be shown behind what was returned before, which may be ""."""
        self._ids.append(token)
        text = self._pending()
        if not text or text.endswith(UNFINISHED):
            return ""
        self._begin, self._end = self._end, len(self._ids)
        return text

    def finish(self) -> str:
        """Returns what is left: at the end, bytes that are no character too."""
        return self._pending()

    def _pending(self):
        shown = text_of_ids(self._tokenizer, self._ids[self._begin : self._end])
        return text_of_ids(self._tokenizer, self._ids[self._begin :])[len(shown) :]
