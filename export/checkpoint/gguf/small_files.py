"""The small files of a checkpoint, rebuilt from a GGUF file: what transformers loads it with."""

import json
from collections.abc import Mapping

from tokenizers import Tokenizer

from .fields import Fields
from .vocabulary import UNUSED, Vocabulary

TEMPLATE = "tokenizer.chat_template"
# Spellings of the token that ends a turn, where the file names none: llama.cpp's list.
TURN_ENDS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<end_of_utterance>")
ROLES = ("bos", "eos", "unk", "pad")


def small_files(
    fields: Fields,
    config: Mapping,
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
    add_bos: bool,
) -> dict[str, bytes]:
    """Returns {name: bytes} of config.json and what goes with it.

    Args:
      fields: metadata of the file.
      config: contents of config.json.
      vocabulary, tokenizer: of the file.
      add_bos: whether a text begins with bos.

    Raises:
      InputError: a chat template that is no text.
    """
    chat = _chat_template(fields)
    values = {
        "config.json": dict(config),
        "generation_config.json": _generation(fields, config, vocabulary, chat),
        "tokenizer_config.json": _tokenizer_config(config, vocabulary, chat, add_bos),
    }
    files = {name: _json(value) for name, value in values.items()}
    return files | {"tokenizer.json": tokenizer.to_str().encode("utf-8")}


def _json(value):
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def _chat_template(fields):
    """Returns the file's chat template; a list of named ones where it has several; None without."""
    names = fields.values.get("tokenizer.chat_templates")
    default = fields.text(TEMPLATE) if fields.has(TEMPLATE) else None
    if names is None:
        return default
    if not isinstance(names, list):
        raise fields.refused("tokenizer.chat_templates", "a list of names")
    named = [{"name": "default", "template": default}] if default is not None else []
    named += [
        {"name": name, "template": fields.text(f"{TEMPLATE}.{name}")}
        for name in names
        if name != "default"
    ]
    return named or None


def _generation(fields, config, vocabulary, chat):
    """Returns generation_config.json: a turn may end with another token than a text."""
    ends = [vocabulary.special[role] for role in ("eos", "eot", "eom")]
    if vocabulary.special["eot"] is None and chat is not None:
        ids = {token: number for number, token in enumerate(vocabulary.tokens)}
        ends += [ids[token] for token in TURN_ENDS if token in ids and token in json.dumps(chat)]
    known = list(dict.fromkeys(end for end in ends if end is not None))
    values = {
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": known[0] if len(known) == 1 else known or None,
        "pad_token_id": config["pad_token_id"],
    }
    return {name: value for name, value in values.items() if value is not None}


def _tokenizer_config(config, vocabulary, chat, add_bos):
    """Returns tokenizer_config.json: the class that takes tokenizer.json as it stands."""
    values = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": config["max_position_embeddings"],
        "add_bos_token": add_bos,
        "add_eos_token": bool(vocabulary.add_eos),
    }
    for role in ROLES:
        number = vocabulary.special[role]
        if number is not None and vocabulary.kinds[number] != UNUSED:
            values[f"{role}_token"] = vocabulary.tokens[number]
    return values if chat is None else values | {"chat_template": chat}
