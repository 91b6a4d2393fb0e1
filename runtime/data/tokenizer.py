"""The tokenizer of a bundle, and the tokens that no text spells."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from ..errors import InputError

SPECIAL_TOKENS = ("<s>", "</s>", "<pad>", "<mask>")


@dataclass(frozen=True)
class SpecialIds:
    """The ids of the tokens that text does not spell; None for one that nobody needs."""

    bos: int  # <s>
    eos: int | None  # </s>
    pad: int  # <pad>
    mask: int | None  # <mask>


def load_tokenizer(path) -> Tokenizer:
    """Loads a tokenizer.json; padding and truncation are off, whatever the file says."""
    if not Path(path).is_file():
        raise InputError(f"{path}: not found, expected a tokenizer.json; export the bundle again")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # `tokenizers` raises plain Exception for whatever it cannot read
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"{path}: found no readable tokenizer ({reason}), expected a tokenizer.json; "
            "export the bundle again"
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def special_ids(
    tokenizer: Tokenizer, needed: tuple[str, ...] = SPECIAL_TOKENS, model: str = "a RoBERTa"
) -> SpecialIds:
    """Returns the ids of <s>, </s>, <pad> and <mask>; those `needed` must be there."""
    ids = {name: tokenizer.token_to_id(name) for name in SPECIAL_TOKENS}
    missing = [name for name in needed if ids[name] is None]
    if missing:
        raise InputError(
            f"tokenizer: {', '.join(missing)} not found among {tokenizer.get_vocab_size()} "
            f"tokens, expected {', '.join(needed)}; use the tokenizer of {model} checkpoint"
        )
    return SpecialIds(*ids.values())
