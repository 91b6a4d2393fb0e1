"""The special tokens that frame and fill a row: those that the checkpoint's tokenizer puts."""

import json
from collections.abc import Mapping

from tokenizers import Tokenizer

from pocketllm.runtime import contract
from pocketllm.runtime.errors import InputError

from .source_files import SPECIAL_MAP, TOKENIZER_CONFIG, TOKENIZER_FILES
from .tokenizer import SpecialSpellings
from .tokenizer_files import MERGES, VOCAB

ANY_TEXT = "a"


def special_spellings(
    files: Mapping[str, bytes], tokenizer: Tokenizer, usual: SpecialSpellings, style: str
) -> SpecialSpellings:
    """Returns how a checkpoint's tokenizer spells the tokens that frame and fill a row.

    Args:
      files: {name: bytes} of what stands beside the weights.
      tokenizer: of these files, as `tokenizer_for` reads them.
      usual: of the architecture, for what the files do not say.
      style: contract.MASKED or CAUSAL. Only a causal row may begin with no special token.

    Raises:
      InputError: tokenizer_config.json or special_tokens_map.json cannot be read, or more than one
        token stands in front of a text.
    """
    if is_unframed(files):
        return usual
    named, (front, back) = _named(files), frame_of(tokenizer)
    if len(front) > 1:
        raise InputError(
            f"tokenizer: puts {' '.join(front)} in front of a text, expected one special token or "
            "none; give a tokenizer with another post-processor"
        )

    def spelled(name, otherwise):
        token = named.get(name)
        return token if token and tokenizer.token_to_id(token) is not None else otherwise

    pad = spelled("pad_token", usual.pad)
    if style == contract.CAUSAL:
        first, last = "".join(front), spelled("eos_token", usual.eos)
        if tokenizer.token_to_id(pad) is None:
            pad = last  # a filler is never looked at, so any token will do
    else:
        first = [*front, spelled("cls_token", spelled("bos_token", usual.bos))][0]
        last = [spelled("sep_token", spelled("eos_token", usual.eos)), *back][-1]
    return SpecialSpellings(
        bos=first,
        pad=pad,
        eos=last,
        unk=spelled("unk_token", usual.unk),
        mask=spelled("mask_token", usual.mask),
    )


def is_unframed(files: Mapping[str, bytes]) -> bool:
    """Returns whether a vocabulary stands alone: it does not say how a text is framed."""
    return not set(files) & set(TOKENIZER_FILES) - {VOCAB, MERGES}


def frame_of(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """Returns the special tokens that a post-processor puts before and behind a text."""
    encoding = tokenizer.encode(ANY_TEXT)
    special = encoding.special_tokens_mask
    begin = [*special, 0].index(0)
    end = len(special) - [*special[::-1], 0].index(0)
    return encoding.tokens[:begin], encoding.tokens[max(begin, end) :]


def _named(files):
    """Returns {"pad_token": its spelling, …} of what transformers reads.

    special_tokens_map.json has the last word, unless tokenizer_config.json lists its tokens.
    """
    settings = _parsed(files, TOKENIZER_CONFIG)
    if "added_tokens_decoder" not in settings:
        settings |= _parsed(files, SPECIAL_MAP)
    return {
        name: value.get("content") if isinstance(value, dict) else value
        for name, value in settings.items()
        if name.endswith("_token") and isinstance(value, str | dict)
    }


def _parsed(files, name):
    try:
        values = json.loads(files.get(name, b"{}"))
        if not isinstance(values, dict):
            raise ValueError(f"a JSON {type(values).__name__}, expected an object")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name}: not readable ({error}); copy it from the checkpoint again"
        ) from error
    return values
