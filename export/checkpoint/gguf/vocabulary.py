"""The vocabulary of a GGUF file: its tokens, what kind each is, and the special ones."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pocketllm.runtime.errors import InputError

from .fields import Fields

PREFIX = "tokenizer.ggml."
BYTE_LEVEL, SENTENCEPIECE = "gpt2", "llama"
MODELS = (BYTE_LEVEL, SENTENCEPIECE)
# Kinds of tokens, gguf.TokenType.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
# Role -> key; and the ids that llama.cpp takes for a SentencePiece vocabulary without the keys.
SPECIAL_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "pad": "padding_token_id",
    "eot": "eot_token_id",
    "eom": "eom_token_id",
}
SENTENCEPIECE_IDS = {"unk": 0, "bos": 1, "eos": 2}
# The converter's names for rows of the embeddings that no token has.
FILLER = re.compile(r"\[PAD\d+\]")


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, and how a text is framed.

    Attributes:
      model: one of MODELS.
      pre: name of the pre-tokenizer, "" without; of BYTE_LEVEL alone.
      tokens: spelling of every id.
      kinds: of every id, one of NORMAL to BYTE.
      scores: of every id; higher ones are merged first. None where the file has none.
      merges: pairs of tokens, first ones first; None where the file has none.
      special: role in SPECIAL_KEYS -> id, None where the file has none.
      add_bos, add_eos: whether a text is framed so; None where the file does not say.
      add_space: whether a space stands before a text; of SENTENCEPIECE alone.
    """

    model: str
    pre: str
    tokens: Sequence[str]
    kinds: Sequence[int]
    scores: np.ndarray | None
    merges: Sequence[tuple[str, str]] | None
    special: Mapping[str, int | None]
    add_bos: bool | None
    add_eos: bool | None
    add_space: bool

    def spelled(self, role: str) -> str | None:
        """Returns the special token of a role, None where the file has none."""
        number = self.special[role]
        return None if number is None else self.tokens[number]

    def fillers(self) -> set[int]:
        """Returns the ids that only fill the embeddings up, so that no text has them."""
        return {
            number
            for number, (token, kind) in enumerate(zip(self.tokens, self.kinds))
            if not token or (kind == UNUSED and FILLER.fullmatch(token))
        }


def read_vocabulary(fields: Fields, rows: int) -> Vocabulary:
    """Reads the vocabulary of a file.

    Args:
      fields: its metadata.
      rows: of the word embeddings.

    Raises:
      InputError: a value that is missing, of another type or number, or a tokenizer that is not
        implemented.
    """
    model = fields.text(f"{PREFIX}model")
    if model not in MODELS:
        raise InputError(
            f"{fields.path}: a tokenizer of the kind {model[:80]!r}, implemented are "
            f"{', '.join(MODELS)}; give a model with one of these"
        )
    tokens = _tokens(fields, rows)
    spm = model == SENTENCEPIECE
    kinds = _array(fields, "token_type", len(tokens), np.int32)
    vocabulary = Vocabulary(
        model=model,
        pre="" if spm else fields.text(f"{PREFIX}pre", ""),
        tokens=tokens,
        kinds=[NORMAL] * len(tokens) if kinds is None else kinds.tolist(),
        scores=_array(fields, "scores", len(tokens), np.float32) if spm else None,
        merges=_merges(fields),
        special=_special(fields, len(tokens), SENTENCEPIECE_IDS if spm else {}),
        add_bos=_switch(fields, "add_bos_token"),
        add_eos=_switch(fields, "add_eos_token"),
        add_space=spm and fields.switch(f"{PREFIX}add_space_prefix", True),
    )
    if vocabulary.merges is None and (not spm or vocabulary.scores is None):
        raise fields.refused(f"{PREFIX}{'scores' if spm else 'merges'}", "one for every token")
    return vocabulary


def _tokens(fields, rows):
    key = f"{PREFIX}tokens"
    tokens = fields.values.get(key)
    if not isinstance(tokens, list) or not tokens:
        raise fields.refused(key, "a list of tokens")
    if len(tokens) != rows:
        raise InputError(
            f"{fields.path}: {len(tokens)} tokens, and {rows} rows of token_embd.weight; download "
            "it again"
        )
    present = [token for token in tokens if token]
    if len(set(present)) < len(present):
        seen: set[str] = set()
        twice = next(token for token in present if token in seen or seen.add(token))
        raise InputError(
            f"{fields.path}: token {twice[:40]!r} has two ids; convert the model again with "
            "llama.cpp"
        )
    return tokens


def _array(fields, name, count, dtype):
    """Returns numbers of every token; None where the file has none."""
    key = f"{PREFIX}{name}"
    values = fields.values.get(key)
    if values is None:
        return None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or len(values) != count:
        raise fields.refused(key, f"a number for each of {count} tokens")
    if not np.isfinite(values).all():
        raise fields.refused(key, "finite numbers")
    return values.astype(dtype)


def _merges(fields):
    key = f"{PREFIX}merges"
    merges = fields.values.get(key)
    if merges is None:
        return None
    if not isinstance(merges, list):
        raise fields.refused(key, "a list of pairs")
    pairs = [(merge[:at], merge[at + 1 :]) for merge in merges if (at := merge.find(" ", 1)) > 0]
    if len(pairs) != len(merges) or not all(second for _, second in pairs):
        raise fields.refused(key, "pairs of tokens with a space between them")
    return pairs


def _special(fields, count, usual):
    special = {}
    for role, name in SPECIAL_KEYS.items():
        key = f"{PREFIX}{name}"
        number = fields.values.get(key)
        if number is None:
            default = usual.get(role)
            number = default if default is not None and default < count else None
        elif type(number) is not int or not 0 <= number < count:
            raise fields.refused(key, f"the id of one of {count} tokens")
        special[role] = number
    return special


def _switch(fields, name):
    key = f"{PREFIX}{name}"
    return fields.switch(key, False) if fields.has(key) else None
