"""The tokens that end a text: what the checkpoint's files say, and what ends an answer."""

import json
from collections.abc import Iterator, Mapping, Sequence

from tokenizers import Tokenizer

from pocketllm.runtime.host.files import json_bytes
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


def generation_config(
    files: Mapping[str, bytes], config: Mapping, stops: Sequence[int]
) -> bytes | None:
    """Returns a generation_config.json with all ids that end a text; None where it says them.

    A model that learnt to end its answers goes on behind them in a program that stops elsewhere.
    """
    text_part = config.get("text_config")
    usual = {**(text_part if isinstance(text_part, Mapping) else {}), **config}
    roles = {name: usual[name] for name in ("bos_token_id", EOS, "pad_token_id") if usual.get(name)}
    values = _values(files[GENERATION_FILE]) if GENERATION_FILE in files else roles
    known = [*_numbers(values.get(EOS))]
    missing = [number for number in stops if number not in known]
    if not missing:
        return None
    ends = known + missing
    return json_bytes({**values, EOS: ends if len(ends) > 1 else ends[0]})


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
