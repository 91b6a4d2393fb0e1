"""A tokenizer.json with parts replaced, and texts for it: for the fuzzer."""

import copy
from contextlib import suppress
from typing import Any

TEXTS = ["a film was great", "", " ", "Ünïcode \U0001f600 <mask></s>", "x" * 300, "\0\ud7ff\n"]
# What takes the place of a part of tokenizer.json: other types, bounds, names of its own format.
REPLACEMENTS = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**32,
    2**63,
    -(2**63),
    1e308,
    0.5,
    "",
    "a",
    "<s>",
    "\0",
    [],
    {},
    [[]],
    [""],
    [0],
    {"a": 0},
    {"": -1},
    [["a", "b"]],
    {"type": "BPE"},
    {"type": "Unigram"},
    {"type": "WordPiece"},
    {"type": "WordLevel"},
    {"type": "ByteLevel"},
    {"type": "Sequence"},
    {"Regex": "(a+)+$"},
    {"Regex": "("},
    {"String": ""},
    {"type": "Precompiled"},
    {"type": "Strip"},
    {"type": "Split", "pattern": {"Regex": "(x+x+)+y"}, "behavior": "Isolated", "invert": False},
    {"type": "Replace", "pattern": {"String": ""}, "content": "aa"},
    {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}},
]


def edited(sound, data: bytes):
    """Returns a JSON value with parts replaced: bytes name where, 255 ends a path, then what."""
    value, places = copy.deepcopy(sound), iter(data)
    with suppress(StopIteration):
        while True:
            parent: Any = None
            key, inner = None, value
            while isinstance(inner, (dict, list)) and inner and (byte := next(places)) != 255:
                parent, keys = inner, list(inner) if isinstance(inner, dict) else range(len(inner))
                key = keys[byte % len(keys)]
                inner = parent[key]
            replacement = copy.deepcopy(REPLACEMENTS[next(places) % len(REPLACEMENTS)])
            if parent is None:
                return replacement
            parent[key] = replacement
    return value
