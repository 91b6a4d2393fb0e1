"""Learnt text to token ids: prompts with completions, chats, plain text in windows.

Every text is tokenised whole (spans.py). What of a prompt or chat does not fit is cut at the end; a
row whose first learnt token would be cut loses tokens in front instead. A plain text loses nothing:
it becomes windows, each beginning with the last token of the one before.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..tasks.chat import ChatPieces, Span, render
from ..tasks.text import CHAT, EVERYTHING, LM, TextTask
from .encoded import Encoded, EncodedExample, RowFormat
from .long_texts import LONG, head_of, tail_of
from .spans import SpanTokenizer
from .text_reader import TextRow
from .tokenizer import grouped

LONG_TEXT = 1 << 17  # characters of a plain text from which on it is tokenised in parts


def spans_of(row: TextRow, task: TextTask, end: str, chat: ChatPieces | None) -> tuple[Span, ...]:
    """Returns the text of a row in spans.

    Args:
      row: of a file.
      task: says its form, and what is learnt.
      end: the end token, as the tokenizer spells it.
      chat: pieces of the bundle's template, for chats.

    Raises:
      InputError: a chat that the template does not take.
    """
    if task.form == CHAT:
        assert chat is not None  # `encode_all` checks it
        spans = render(chat, row.messages, generation_prompt=False)
    else:
        *prompt, answer = (message["content"] for message in row.messages)
        spans = (
            *(Span(text, spelled=False, learnt=False) for text in prompt),
            Span(answer, spelled=False, learnt=True),
            Span(end, spelled=True, learnt=True),
        )
    if task.learnt == EVERYTHING:
        spans = (Span(span.text, span.spelled, learnt=True) for span in spans)
    return tuple(span for span in spans if span.text)


def encode_all(
    rows: Iterable[TextRow],
    row_format: RowFormat,
    path,
    progress: Callable[[int], None] = lambda rows: None,
    typed: dict[str, int] | None = None,
) -> list[EncodedExample]:
    """Encodes the rows of a file, in their order; a plain text may become several examples.

    Args:
      rows: of the file.
      row_format: of the bundle.
      path: the file, for errors.
      progress: called with the number of rows done.
      typed: gets {special token that a row's own text spells: in how many rows}.

    Raises:
      InputError: a row of which nothing is learnt, or a bundle that can learn none.
    """
    end, tokenizer = _end_of(row_format), SpanTokenizer(row_format.tokenizer, row_format.special)
    typed = {} if typed is None else typed
    encoded = []
    planned = _planned(rows, row_format, end, path)
    for texts in grouped(planned, lambda text: sum(len(span.text) for span in text.spans)):
        for spans in (text.spans for text in texts):
            for token in tokenizer.typed_tokens(spans):
                typed[token] = typed.get(token, 0) + 1
        for text, ids, mask in _rows_of(texts, tokenizer):
            encoded += _examples(text, ids, mask, row_format)
        progress(len(texts))
    return encoded


@dataclass(frozen=True)
class _Text:
    """A row as spans; where it stands."""

    where: str  # file and line
    spans: tuple[Span, ...]
    is_long: bool = False  # whether it is a plain text, tokenised in parts
    lacks_learnt: bool = False  # whether learnt spans that cannot reach the row were left out


def _end_of(row_format):
    """Returns how the tokenizer spells the end token; "" for a chat, which brings its own."""
    task, end = row_format.task, row_format.special.eos
    if task.form == CHAT:
        if row_format.chat is None:
            raise InputError(
                "bundle.json: found no chat template, expected one to learn chats; export the "
                "bundle again"
            )
        return ""
    if end is None:
        raise InputError(
            f"{NO_END}; name its eos_token in tokenizer_config.json and export the bundle again"
        )
    return row_format.tokenizer.id_to_token(end)


NO_END = "tokenizer: found no end token, expected one that ends what is learnt"


def _planned(rows, row_format, end, path) -> Iterator[_Text]:
    task, tokenizer, room = row_format.task, row_format.tokenizer, row_format.tokens
    for row in rows:
        where = f"{path} line {row.line}"
        try:
            spans = spans_of(row, task, end, row_format.chat)
        except InputError as error:
            raise InputError(f"{where}: found {error}; leave the row out") from error
        if task.form == LM:
            yield _Text(where, spans, is_long=len(spans[0].text) > LONG_TEXT)
        else:
            kept = _shortened(spans, tokenizer, room)
            lacks_learnt = any(span.learnt for span in spans[len(kept) :])
            yield _Text(where, kept, lacks_learnt=lacks_learnt)


def _shortened(spans, tokenizer, room) -> tuple[Span, ...]:
    """Returns spans of which those far longer than a row are as long as the row can need.

    Before the first learnt span that is the end of a span; of any other the beginning, and what
    follows that cannot reach the row.
    """
    kept: list[Span] = []
    for span in spans:
        if span.spelled or len(span.text) <= LONG * room:
            kept.append(span)
        elif any(other.learnt for other in (*kept, span)):
            head = head_of(tokenizer, span.text, room)
            kept.append(replace(span, text=head))
            if head != span.text:
                break
        else:
            kept.append(replace(span, text=tail_of(tokenizer, span.text, room)))
    return tuple(kept)


def _rows_of(texts: Sequence[_Text], tokenizer: SpanTokenizer):
    """Yields each text with its ids and mask."""
    encoded = iter(tokenizer.encode_all([text.spans for text in texts if not text.is_long]))
    for text in texts:
        row = tokenizer.encode_long(text.spans[0].text) if text.is_long else next(encoded)
        yield text, *row


def _examples(text, ids, mask, row_format) -> list[EncodedExample]:
    task, room, bos = row_format.task, row_format.tokens, row_format.special.bos
    if not mask.any():
        raise InputError(
            f"{text.where}: found {len(ids)} tokens of which none is learnt, expected one at "
            "least; leave the row out"
        )
    begin = 1 if len(ids) and ids[0] == bos else 0
    if task.form == LM:
        pieces = windows(ids, mask, room, begin)
        return [EncodedExample((Encoded(i, {}, False, m),), ()) for i, m in pieces]
    kept, kept_mask = cut(ids, mask, room, begin)
    lacks_learnt = text.lacks_learnt or bool(kept_mask.sum() < mask.sum())
    return [EncodedExample((Encoded(kept, {}, len(ids) > room, kept_mask, lacks_learnt),), ())]


def cut(ids: np.ndarray, mask: np.ndarray, room: int, begin: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns at most `room` of a row's tokens, and their mask.

    Tokens at the end are left out. Where that would leave the first learnt one out, the tokens
    before it go first, all but the `begin` tokens at the beginning: as few as leave room for
    room // 2 of the learnt ones that can stand in a row with it, or all of these.

    Args:
      ids: [n] of the row.
      mask: [n], 1 for a learnt token, never the first.
      room: of the longest bucket.
      begin: tokens at the beginning that stay, 0 or 1.
    """
    learnt = np.flatnonzero(mask)
    if len(ids) <= room or learnt[0] < room:
        return ids[:room], mask[:room]
    # The first learnt token stays, with a token before it.
    within = learnt[learnt < learnt[0] + room - max(begin, 1)]
    last = within[: room // 2][-1] + 1
    kept = np.r_[0:begin, last - (room - begin) : last]
    return ids[kept], mask[kept]


def windows(
    ids: np.ndarray, mask: np.ndarray, room: int, begin: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields windows of at most `room` tokens: every learnt token is learnt in one of them.

    A window begins with the row's `begin` tokens and the last token of the window before, neither
    of which is learnt there. Arguments are those of `cut`.
    """
    yield ids[:room], mask[:room]
    front, step = np.arange(begin), room - begin - 1
    for first in range(room, len(ids), step):
        chosen = np.concatenate([front, np.arange(first - 1, min(first + step, len(ids)))])
        of_window = mask[chosen]
        of_window[: begin + 1] = 0
        yield ids[chosen], of_window


def typed_note(typed: dict[str, int]) -> Sequence[str]:
    """Returns a sentence on the special tokens that rows spell, none where no row does."""
    if not typed:
        return ()
    most = sorted(typed, key=lambda token: (-typed[token], token))[:3]
    named = ", ".join(f"{token!r} in {typed[token]}" for token in most)
    return (f"special tokens that rows spell are read as text ({named})",)
