"""Tokenizers as transformers' AutoTokenizer makes them of a checkpoint's files."""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tokenizers import Tokenizer

from pocketllm.runtime.errors import InputError, first_line

from .tokenizer_files import declared_tokens

ADDED = '"added_tokens":'  # before the vocabulary in what `to_str` writes
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True)
class SourceTokenizer:
    """A checkpoint's tokenizer, and what transformers calls its special tokens.

    Attributes:
      tokenizer: its ids are AutoTokenizer's.
      special: {"pad": its spelling, …}; None where the files do not say how a text is framed.
      left_out: special tokens that the files name and the model has no rows for.
      chat_template: of the files; {its name: a template} where there are several; None without.
      variables: what a chat template may use: {"bos_token": its spelling, …}.
    """

    tokenizer: Tokenizer
    special: Mapping[str, str] | None
    left_out: tuple[str, ...] = ()
    chat_template: str | Mapping[str, str] | None = None
    variables: Mapping[str, object] = field(default_factory=dict)


def transformers_tokenizer(
    folder: Path, names: set[str], model_type: str, rows: int | None = None
) -> SourceTokenizer:
    """Returns AutoTokenizer's tokenizer of a folder.

    Args:
      folder: of the checkpoint; nothing is looked for elsewhere.
      names: its tokenizer files.
      model_type: of the checkpoint.
      rows: of the model's word embeddings; None for what config.json of the folder says.

    Raises:
      InputError: transformers cannot make one of these files, or not without code of the folder,
        or one that no tokenizer.json says.
    """
    from transformers import AutoTokenizer

    config = _config(folder, model_type)
    if rows is not None:
        config.vocab_size = rows
    try:
        with _silent():
            loaded = AutoTokenizer.from_pretrained(
                str(folder), config=config, local_files_only=True, trust_remote_code=False
            )
        special = {role: getattr(loaded, f"{role}_token", None) for role in ROLES}
        template, variables = loaded.chat_template, dict(loaded.special_tokens_map)
    except BaseException as error:  # whatever the files lead transformers or `tokenizers` to
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise InputError(
            f"{folder}: transformers makes no tokenizer of {', '.join(sorted(names))} "
            f"({first_line(error)}); copy the tokenizer files from the checkpoint again, or give "
            "one tokenizer.json"
        ) from error
    tokenizer = getattr(loaded, "backend_tokenizer", None)
    if not isinstance(tokenizer, Tokenizer):
        raise InputError(
            f"{folder}: transformers has {type(loaded).__name__} in Python alone, so that these "
            "files make no tokenizer.json, which a bundle needs; give a checkpoint whose tokenizer "
            "has a fast class, or a tokenizer.json with the same ids"
        )
    declared = declared_tokens(folder, names)
    written = _as_file(tokenizer, declared, config.vocab_size, folder)
    named = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    left_out = (t for t in named if t in declared and written.token_to_id(t) is None)
    special = {role: token for role, token in special.items() if token}
    return SourceTokenizer(written, special, tuple(left_out), template, variables)


def _config(folder, model_type):
    """Returns a config that says of config.json just what a tokenizer is read by.

    That is its class, and how many tokens the model has.
    """
    from transformers import AutoConfig

    config = AutoConfig.for_model(model_type)
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it is checked elsewhere
        values = json.loads((folder / "config.json").read_bytes())
        if isinstance(values.get("tokenizer_class"), str):
            config.tokenizer_class = values["tokenizer_class"]
        if type(values.get("vocab_size")) is int:
            config.vocab_size = values["vocab_size"]
    return config


def _as_file(tokenizer, declared, rows, folder):
    """Returns the tokenizer as a tokenizer.json reads, with AutoTokenizer's id of every token.

    A class adds tokens of its own to a vocabulary that lacks them: `<|endoftext|>` of GPT-2's,
    where an OPT's files name none. One that no file names, with an id that the model has no row
    for, is left out. So is a special one that files name (Gemma 3's `<image_soft_token>`): a text
    that spells it is text, whatever reads it.
    """
    # Only its list of added tokens becomes Python values: a vocabulary has 33 MB.
    text = tokenizer.to_str()
    first = text.index(ADDED) + len(ADDED)
    added, end = json.JSONDecoder().raw_decode(text, first)

    def is_read(token):
        if token["id"] < rows or tokenizer.model.token_to_id(token["content"]) is not None:
            return True
        return token["content"] in declared and not token["special"]

    kept = [token for token in added if is_read(token)]
    written = Tokenizer.from_str(text[:first] + json.dumps(kept) + text[end:])
    for token in kept:
        number = written.token_to_id(token["content"])
        if number != token["id"] and token["id"] >= rows:
            return tokenizer  # it has no row either: what checks the ids refuses it
        if number != token["id"]:
            raise InputError(
                f"{folder}: {token['content']!r} has the id {token['id']} in transformers, in a "
                f"tokenizer.json of these files it would have {number}; give a tokenizer.json with "
                "the same ids"
            )
    return written


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps transformers' advice off the output; what matters is an error of ours."""
    from transformers.utils import logging as advice

    verbosity = advice.get_verbosity()
    advice.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        advice.set_verbosity(verbosity)
