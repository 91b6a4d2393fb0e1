"""The tokenizer of a bundle, loaded."""

from pathlib import Path

from tokenizers import Tokenizer

from ..errors import InputError


def load_tokenizer(path) -> Tokenizer:
    """Loads a tokenizer.json; padding and truncation are off, whatever the file says.

    Raises:
      InputError: the file is missing, or no tokenizer.
    """
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
