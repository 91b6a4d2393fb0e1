"""A byte-level BPE of transformers, in the metadata of a GGUF file."""

import json
from pathlib import Path

from gguf import GGUFWriter, SpecialVocab, TokenType

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
DIGITS = {"type": "Digits", "individual_digits": True}


class Refused(Exception):
    """What cannot be written so that llama.cpp runs the same model; says why, in one line."""


def bytes_of(regex: bool) -> dict:
    """Returns the step that spells a text in bytes, and with `regex` cuts it as GPT-2 does."""
    return {"type": "ByteLevel", "add_prefix_space": False, "use_regex": regex}


def split_by(pattern: str) -> list[dict]:
    """Returns the steps of a pattern of the model's own."""
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    return [split | {"invert": False}, bytes_of(regex=False)]


# llama.cpp's name of a way to cut a text -> (normalizer, steps of the pre-tokenizer, whether a word
# that is a token is not merged together).
WAYS = {
    "gpt-2": (None, [bytes_of(regex=True)], False),
    "smollm": (None, [DIGITS, bytes_of(regex=True)], False),
    "llama-bpe": (
        None, split_by(rf"{CONTRACTIONS}|{WORDS}|\p{{N}}{{1,3}}|{SYMBOLS}"), True
    ),
    "qwen2": (
        {"type": "NFC"}, split_by(rf"{CONTRACTIONS}|{WORDS}|\p{{N}}|{SYMBOLS}"), False
    ),
}  # fmt: skip


def name_of_way(values: dict) -> str:
    """Returns llama.cpp's name of how a tokenizer cuts a text.

    Args:
      values: of tokenizer.json.

    Raises:
      Refused: it is none that llama.cpp has under a name of WAYS.
    """
    model, pre = values["model"], values["pre_tokenizer"] or {}
    steps = [
        {key: value for key, value in step.items() if key != "trim_offsets"}  # no id depends on it
        for step in pre.get("pretokenizers", [pre])
    ]
    way = values["normalizer"], steps, bool(model.get("ignore_merges"))
    for name, known in WAYS.items():
        if model["type"] == "BPE" and way == known:
            return name
    raise Refused(
        f"a {model['type']} tokenizer with the pre-tokenizer {json.dumps(steps)[:120]}, known "
        f"are those of {', '.join(WAYS)}; take llama.cpp's own converter"
    )


def add_tokenizer(writer: GGUFWriter, folder: Path, tokenizer, rows: int) -> None:
    """Writes tokens, merges, special tokens and the chat template.

    Args:
      writer: of the file.
      folder: the checkpoint, with tokenizer.json.
      tokenizer: AutoTokenizer of the folder.
      rows: of the word embeddings; those that no token has get names.
    """
    values = json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(name_of_way(values))
    tokens, kinds = tokens_of(values, rows)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    frame = frame_of(tokenizer)
    special = SpecialVocab(folder, load_merges=True, n_vocab=rows)
    special.add_special_token = frame
    special.add_to_gguf(writer, quiet=True)


def tokens_of(values: dict, rows: int) -> tuple[list[str], list[TokenType]]:
    """Returns the spelling and the kind of every id; `values` is of tokenizer.json."""
    tokens = [f"[PAD{number}]" for number in range(rows)]
    kinds = [TokenType.UNUSED] * rows
    entries = [
        (token, number, TokenType.NORMAL) for token, number in values["model"]["vocab"].items()
    ]
    for added in values["added_tokens"]:
        token, kind = added["content"], TokenType.USER_DEFINED
        if added["lstrip"] or added["rstrip"] or added["single_word"]:
            raise Refused(f"token {token!r} takes spaces beside it, llama.cpp's does not")
        entries.append((token, added["id"], TokenType.CONTROL if added["special"] else kind))
    for token, number, kind in entries:
        if number >= rows:
            raise Refused(f"token {token!r} has the id {number}, the embeddings have {rows} rows")
        tokens[number], kinds[number] = token, kind
    return tokens, kinds


def frame_of(tokenizer) -> dict[str, bool]:
    """Returns whether a text begins with bos, and ends with eos."""
    bos, eos = [tokenizer.bos_token_id], [tokenizer.eos_token_id]
    bare = tokenizer("a", add_special_tokens=False).input_ids
    framed = tokenizer("a").input_ids
    frame = {"bos": framed[:1] == bos != bare[:1], "eos": framed[-1:] == eos != bare[-1:]}
    if framed != [*(bos if frame["bos"] else []), *bare, *(eos if frame["eos"] else [])]:
        raise Refused("a text is framed by other tokens than bos and eos")
    return frame
