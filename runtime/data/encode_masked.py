"""Masked prompts to token ids: every piece of the template on its own, between bos and eos.

A model without either of these tokens begins or ends its rows with the text.

This is how the reference builds its prompts, and not the same as tokenising one joined string.
A field that spells a special token is text, unlike in transformers; the template's own text may
spell one. The mask position comes from the template and is never searched for.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import cast

import numpy as np

from .. import contract
from ..errors import InputError
from ..tasks.masked import MaskedTask, Piece
from .encoded import Encoded, EncodedExample, RowFormat
from .long_texts import head_ids
from .reader import Example
from .tokenizer import template_ids


def encode(example: Example, row_format: RowFormat) -> Encoded:
    """Encodes one example, cutting as the reference cuts.

    The first field is limited where the task says so; then the tail of the whole sequence is cut,
    eos included. The reference stops where that would cut the mask; here the first field is cut
    further instead, until all that follows it fits.

    Returns:
      At most row_format.tokens ids, the template's own mask among them.

    Raises:
      InputError: the template's own text up to the mask is longer than that.
    """
    task, special = cast(MaskedTask, row_format.task), row_format.special
    front, back = ([] if token is None else [token] for token in (special.bos, special.eos))
    max_length = row_format.tokens
    # A piece's tokens behind the first max_length reach no row and change none.
    parts = [_piece_ids(piece, example, row_format) for piece in task.pieces]
    whole = len(front) + sum(map(len, parts)) + len(back)
    if task.first_field_reserve is not None:
        # Half of a bucket that is hardly longer than the reserve is still worth reading.
        limit = max(max_length - task.first_field_reserve, max_length // 2)
        del parts[_field_indexes(task)[0]][limit:]
    if len(front) + _mask_offset(parts, task) >= max_length:
        _make_room(parts, task, max_length, (len(front), len(back)))
    ids = [*front, *chain.from_iterable(parts), *back][:max_length]
    return Encoded(
        input_ids=np.array(ids, np.int32),
        target={contract.MASK_POSITION: len(front) + _mask_offset(parts, task)},
        truncated=len(ids) < whole,
    )


def encode_all(
    examples: Iterable[Example],
    row_format: RowFormat,
    path,
    only_gold: bool = False,
    progress: Callable[[int], None] = lambda examples: None,
) -> list[EncodedExample]:
    """Encodes the examples of a file, in their order: one sequence each, whatever is gold.

    Args:
      examples: the rows.
      row_format: of the bundle.
      path: the file; no row of it can be at fault.
      only_gold: as for causal prompts; all label words share the one sequence.
      progress: called with the number of examples done.
    """
    encoded = []
    for example in examples:
        encoded.append(EncodedExample((encode(example, row_format),), (example.label,)))
        progress(1)
    return encoded


def _piece_ids(piece: Piece, example: Example, row_format: RowFormat) -> list:
    if piece.kind == "mask":
        return [row_format.special.mask]
    if piece.kind == "literal":
        return template_ids(row_format.tokenizer, piece.text)
    text = _field_text(piece, example.fields[piece.text])
    return head_ids(row_format.tokenizer, text, row_format.tokens)


def _field_text(piece: Piece, text: str) -> str:
    if piece.drop_last_char:
        text = text[:-1]
    if piece.lower_first:
        text = text[:1].lower() + text[1:]
    return " " + text if piece.leading_space else text


def _field_indexes(task: MaskedTask) -> list[int]:
    return [i for i, piece in enumerate(task.pieces) if piece.kind == "field"]


def _mask_index(task: MaskedTask) -> int:
    return next(i for i, piece in enumerate(task.pieces) if piece.kind == "mask")


def _mask_offset(parts: list[list[int]], task: MaskedTask) -> int:
    """Returns how many tokens of the pieces stand before the mask."""
    return sum(map(len, parts[: _mask_index(task)]))


def _make_room(
    parts: list[list[int]], task: MaskedTask, max_length: int, frame: tuple[int, int]
) -> None:
    """Cuts, in place, the tails of the fields before the mask until the mask is inside.

    Args:
      parts: the tokens of the pieces.
      task: of these pieces.
      max_length: tokens of a row.
      frame: tokens that stand before and behind the pieces.
    """
    front, back = frame
    too_many = front + sum(map(len, parts)) + back - max_length
    for i in _field_indexes(task):
        if i < _mask_index(task):
            parts[i] = parts[i][: max(0, len(parts[i]) - too_many)]
            # A second field gives up only what the mask needs: the tail is cut anyway.
            too_many = max(0, front + _mask_offset(parts, task) + 1 - max_length)
    needed = front + _mask_offset(parts, task) + 1
    if needed > max_length:
        raise InputError(
            f"--prompt: its own text up to the mask takes {needed} tokens, expected at most "
            f"{max_length}; shorten the prompt or export longer --lengths"
        )
