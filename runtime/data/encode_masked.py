"""Examples to token ids: every piece of the template on its own, joined between <s> and </s>.

This is how the reference builds its prompts, and not the same as tokenising one joined string.
Text that spells a special token ("</s>") becomes that token, as in transformers; the mask position
therefore comes from the template and is never searched for.
"""

from itertools import chain

import numpy as np
from tokenizers import Tokenizer

from .. import contract
from ..errors import InputError
from ..tasks.masked import MaskedTask, Piece
from .encoded import Encoded, EncodedExample
from .reader import Example
from .tokenizer import special_ids


def encode(example: Example, task: MaskedTask, tokenizer: Tokenizer, max_length: int) -> Encoded:
    """Encodes one example, cutting as the reference cuts.

    The first field is limited where the task says so; then the tail of the whole sequence is cut,
    </s> included. The reference stops where that would cut the mask; here the first field is cut
    further instead, until all that follows it fits.

    Args:
      max_length: most tokens of the result, usually min(task.max_length, the longest bucket).

    Returns:
      At most `max_length` ids, the template's own mask among them.
    """
    special = special_ids(tokenizer)
    parts = [_piece_ids(piece, example, tokenizer, special.mask) for piece in task.pieces]
    whole = 2 + sum(map(len, parts))  # <s> and </s>
    if task.first_field_reserve is not None:
        # Half of a bucket that is hardly longer than the reserve is still worth reading.
        limit = max(max_length - task.first_field_reserve, max_length // 2)
        del parts[_field_indexes(task)[0]][limit:]
    if _mask_position(parts, task) >= max_length:
        _make_room(parts, task, max_length)
    ids = [special.bos, *chain.from_iterable(parts), special.eos][:max_length]
    return Encoded(
        input_ids=np.array(ids, np.int32),
        target={contract.MASK_POSITION: _mask_position(parts, task)},
        truncated=len(ids) < whole,
    )


def encode_all(
    examples: list[Example], task: MaskedTask, tokenizer: Tokenizer, max_length: int
) -> list[EncodedExample]:
    """Encodes the examples in their order."""
    return [
        EncodedExample((encode(example, task, tokenizer, max_length),), (example.label,))
        for example in examples
    ]


def _piece_ids(piece: Piece, example: Example, tokenizer: Tokenizer, mask: int) -> list[int]:
    if piece.kind == "mask":
        return [mask]
    text = piece.text if piece.kind == "literal" else _field_text(piece, example.fields[piece.text])
    return tokenizer.encode(text, add_special_tokens=False).ids


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


def _mask_position(parts: list[list[int]], task: MaskedTask) -> int:
    return 1 + sum(map(len, parts[: _mask_index(task)]))  # 1 for <s>


def _make_room(parts: list[list[int]], task: MaskedTask, max_length: int) -> None:
    """Cuts, in place, the tails of the fields before the mask until the mask is inside."""
    too_many = 2 + sum(map(len, parts)) - max_length
    for i in _field_indexes(task):
        if i < _mask_index(task):
            parts[i] = parts[i][: max(0, len(parts[i]) - too_many)]
            # A second field gives up only what the mask needs: the tail is cut anyway.
            too_many = max(0, _mask_position(parts, task) + 1 - max_length)
    needed = _mask_position(parts, task) + 1
    if needed > max_length:
        raise InputError(
            f"--prompt: its own text up to the mask takes {needed} tokens, expected at most "
            f"{max_length}; shorten the prompt or export longer --lengths"
        )
