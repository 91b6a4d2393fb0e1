"""Tokenizers as transformers' AutoTokenizer makes them of a checkpoint's files."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from pocketllm.runtime.errors import InputError

from .tokenizer_files import declared_tokens, first_line


def transformers_tokenizer(folder: Path, names: set[str], model_type: str) -> Tokenizer:
    """Returns AutoTokenizer's tokenizer of a folder.

    Args:
      folder: of the checkpoint; nothing is looked for elsewhere.
      names: its tokenizer files.
      model_type: of the checkpoint.

    Raises:
      InputError: transformers cannot make one of these files, or not without code of the folder.
    """
    from transformers import AutoTokenizer

    try:
        with _silent():
            loaded = AutoTokenizer.from_pretrained(
                str(folder),
                config=_config(folder, model_type),
                local_files_only=True,
                trust_remote_code=False,
            )
        tokenizer = loaded.backend_tokenizer
    except BaseException as error:  # whatever the files lead transformers or `tokenizers` to
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise InputError(
            f"{folder}: transformers makes no tokenizer of {', '.join(sorted(names))} "
            f"({first_line(error)}); copy the tokenizer files from the checkpoint again, or give "
            "one tokenizer.json"
        ) from error
    return _with_tokens_of_files(tokenizer, declared_tokens(folder, names))


def _config(folder, model_type):
    """Returns a config that says of config.json just what decides the tokenizer's class."""
    from transformers import AutoConfig

    config = AutoConfig.for_model(model_type)
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it is checked elsewhere
        kind = json.loads((folder / "config.json").read_bytes()).get("tokenizer_class")
        if isinstance(kind, str):
            config.tokenizer_class = kind
    return config


def _with_tokens_of_files(tokenizer, declared):
    """Returns the tokenizer with those added tokens that the checkpoint's files name.

    A class adds tokens of its own to a vocabulary that lacks them, with ids that the model was
    never trained with: `<|endoftext|>` of GPT-2's class, where an OPT's files name no tokens. With
    `split_special_tokens`, a switch that no tokenizer.json holds, a text cannot spell a token.
    """
    values = json.loads(tokenizer.to_str())
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)

    def is_read(token):
        if token["content"] in vocabulary:
            return not (tokenizer.encode_special_tokens and token["special"])
        return token["content"] in declared

    kept = [token for token in values["added_tokens"] if is_read(token)]
    if len(kept) == len(values["added_tokens"]):
        return tokenizer
    return Tokenizer.from_str(json.dumps(values | {"added_tokens": kept}))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps transformers' advice off the output; what matters is an error of ours."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
