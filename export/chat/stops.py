"""The tokens that end a text: what the checkpoint's files say, and what ends an answer."""

import json
from collections.abc import Iterator, Mapping

from tokenizers import Tokenizer

from pocketllm.runtime.tasks.chat import ChatPieces

from .pieces import token_spans

GENERATION_FILE = "generation_config.json"
EOS = "eos_token_id"


def stop_ids(
    tokenizer: Tokenizer,
    eos: str,
    config: Mapping,
    files: Mapping[str, bytes],
    pieces: ChatPieces | None,
) -> tuple[int, ...]:
    """Returns the ids that end a text, ascending, only such as the tokenizer has.

    Args:
      tokenizer: of the bundle.
      eos: how it spells the end of a text; "" where it has none.
      config: values of config.json; of a model with further parts, these may stand inside
        `text_config`.
      files: small files of the checkpoint.
      pieces: of its chat template.
    """
    generation = _values(files.get(GENERATION_FILE, b"{}"))
    text_part = config.get("text_config")
    ids = {
        *_numbers(generation.get(EOS)),
        *_numbers(config.get(EOS)),
        *_numbers(text_part.get(EOS) if isinstance(text_part, Mapping) else None),
    }
    ids |= {tokenizer.token_to_id(eos) if eos else None, _turn_end(tokenizer, pieces)}
    return tuple(sorted(n for n in ids if n is not None and tokenizer.id_to_token(n) is not None))


def _turn_end(tokenizer, pieces):
    """Returns the id of the first special token behind an answer; None without one."""
    if pieces is None:
        return None
    added = tokenizer.get_added_tokens_decoder().values()
    suffix, tokens = pieces.assistant.suffix, [t.content for t in added if t.special]
    ends = (suffix[first:last] for first, last in token_spans(suffix, tokens))
    return next((tokenizer.token_to_id(end) for end in ends), None)


def _values(data: bytes) -> Mapping:
    """Returns the object of a JSON file; an empty one where it is none, which ends nothing."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _numbers(value: object) -> Iterator[int]:
    for number in value if isinstance(value, list) else [value]:
        if type(number) is int and 0 <= number < 2**31:
            yield number
