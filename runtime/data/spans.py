"""Spans of a text to token ids, and which of these are learnt.

The whole text is tokenised at once: no token depends on where a span ends. A special token in a
span that is a template's own (`spelled`) is that token, in any other span it is text. A token is
learnt if any of its characters stands in a learnt span.
"""

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer, processors

from ..bundle.contents import SpecialTokens
from ..tasks.chat import Span
from .long_texts import parts_of
from .marks import Marks, without_marks
from .tokenizer import all_encodings

# Characters of a long text that are tokenised together.
PART = 1 << 16


class SpanTokenizer:
    """Turns spans into ids and masks with the tokenizer of a bundle."""

    def __init__(self, tokenizer: Tokenizer, special: SpecialTokens):
        """Takes a tokenizer for itself: it has more tokens, and no post-processor, from then on.

        Args:
          tokenizer: of a bundle; it still decodes as before.
          special: the bundle's.
        """
        self._tokenizer, self._special = tokenizer, special
        self._marks = Marks(tokenizer, special.eos)
        # A post-processor adds special tokens, which nothing here wants, and takes the white space
        # that begins a token out of its offsets, so that the token seems to have fewer characters.
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)

    def typed_tokens(self, spans: Sequence[Span]) -> set[str]:
        """Returns the special tokens that a person's spans spell, which are text."""
        return {t for span in spans if not span.spelled for t in self._marks.spelled(span.text)}

    def encode_all(self, rows: Sequence[Sequence[Span]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns (ids [n] int32, loss_mask [n] int32) of each row, on all cores.

        A text that begins with a person's span gets the token that the tokenizer puts in front of
        a text; one that begins with a template's has all that the template wants. The first token
        of a row is never learnt: nothing stands before it.
        """
        self._marks.teach(span.text for spans in rows for span in spans if span.spelled)
        texts = [[self._marked(span) for span in spans] for spans in rows]
        encodings = all_encodings(self._tokenizer, ["".join(parts) for parts in texts])
        return [self._row(*row) for row in zip(rows, texts, encodings)]

    def _marked(self, span):
        text = without_marks(span.text)
        return self._marks.marked(text) if span.spelled else text

    def _row(self, spans, parts, encoding):
        ids = self._marks.tokens(encoding.ids)
        mask = _of_learnt_characters(encoding, spans, parts)
        bos = self._special.bos
        if bos is not None and not (spans and spans[0].spelled):
            ids, mask = [bos, *ids], np.concatenate([[0], mask])
        mask = mask.astype(np.int32)
        mask[:1] = 0
        return np.array(ids, np.int32), mask

    def encode_long(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns ids and mask of a person's text and the end token, all learnt, as `encode_all`.

        It goes part by part: 5 MB at once would need 1 GB.
        """
        special, text = self._special, without_marks(text)
        front, back = ([] if token is None else [token] for token in (special.bos, special.eos))
        ids = [np.array(front, np.int32)]
        for before, first, last in parts_of(text, PART):
            (encoding,) = all_encodings(self._tokenizer, [text[before:last]])
            ends = np.array(encoding.offsets, np.int64).reshape(-1, 2)[:, 1]
            ids.append(np.array(encoding.ids, np.int32)[(ends > first - before) | (first == 0)])
        whole = np.concatenate([*ids, np.array(back, np.int32)])
        mask = np.ones(len(whole), np.int32)
        mask[0] = 0
        return whole, mask


def span_ids(
    spans: Sequence[Span], tokenizer: Tokenizer, special: SpecialTokens
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ids [n] int32 of one text and its loss_mask [n] int32, as SpanTokenizer does.

    Args:
      spans: the parts of the text.
      tokenizer: of a bundle; see SpanTokenizer for what becomes of it.
      special: the bundle's.
    """
    return SpanTokenizer(tokenizer, special).encode_all([spans])[0]


def _of_learnt_characters(encoding, spans, parts) -> np.ndarray:
    """Returns [n], 1 for a token with a character of a learnt span."""
    learnt = [np.full(len(part), span.learnt, bool) for span, part in zip(spans, parts)]
    characters = np.concatenate([*learnt, [False]])
    before = np.concatenate([[0], np.cumsum(characters)])
    first, last = np.array(encoding.offsets, np.int64).reshape(-1, 2).T
    # A token of no character (of a normaliser's own) goes with the character that it stands before.
    return before[np.maximum(last, first + 1)] > before[first]
