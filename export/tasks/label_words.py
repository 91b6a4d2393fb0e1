"""`--label_words`: labels as the data spells them, each with its word."""

import json
import re

from pocketllm.runtime.errors import InputError

_EXAMPLE = '--label_words="0: terrible,1: great"'
_ESCAPED = re.compile(r"\\([:,\\])")


def parse_label_words(flag: str) -> list[tuple[str, str]]:
    """Returns the (label, word) pairs of `--label_words`, in its order.

    Two spellings: label:word pairs between commas, where a backslash keeps the colon, comma or
    backslash behind it; or a JSON object, {"label": "word"}, for labels with any character.

    Raises:
      InputError: anything else, fewer than two pairs, or a label or word that is there twice.
    """
    pairs = _json_pairs(flag) if flag.lstrip().startswith("{") else _plain_pairs(flag)
    if len(pairs) < 2:
        raise _error(flag, f"found {len(pairs)} label, expected at least 2")
    for what, names in (("label", [p[0] for p in pairs]), ("word", [p[1] for p in pairs])):
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise _error(flag, f"found the {what} {twice[0]!r} twice, expected each once")
    return pairs


def _json_pairs(flag: str) -> list[tuple[str, str]]:
    try:
        pairs = json.loads(flag, object_pairs_hook=list)
    except ValueError as error:
        example = flag.strip().replace("'", '"')
        if "'" not in flag or not _is_json(example):
            example = '{"0": "terrible", "1": "great"}'
        raise _error(flag, "found no valid JSON", f"--label_words='{example}'") from error
    for label, word in pairs:
        if not isinstance(word, str) or not label or not word.strip():
            raise _error(flag, f"found {word!r} for the label {label!r}, expected a word")
    return [(label, word.strip()) for label, word in pairs]


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _plain_pairs(flag: str) -> list[tuple[str, str]]:
    pairs = []
    for part in _split(flag, ","):
        sides = [_ESCAPED.sub(r"\1", side).strip() for side in _split(part, ":")]
        if len(sides) > 2:
            raise _error(
                flag,
                f"found more than one colon in {part.strip()!r}, expected label:word",
                "'NUM\\:date:number' (a backslash before a colon of a label or word), or JSON: "
                '--label_words=\'{"NUM:date": "number", "NUM:dist": "distance"}\'',
            )
        if len(sides) < 2 or not all(sides):
            raise _error(
                flag,
                f"found {part!r}, expected label:word (a backslash before a comma of a label or "
                "word)",
            )
        pairs.append((sides[0], sides[1]))
    return pairs


def _split(text: str, sign: str) -> list[str]:
    """Cuts a text at a sign, but not at one behind a backslash; backslashes stay."""
    parts = [""]
    for token in re.findall(r"\\.|.", text, re.DOTALL):
        if token == sign:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _error(flag: str, problem: str, example: str = _EXAMPLE) -> InputError:
    return InputError(f"--label_words={flag!r}: {problem}; write for example {example}")
