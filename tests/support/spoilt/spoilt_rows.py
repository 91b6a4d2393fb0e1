"""Encoded rows that are whole, and that a model cannot compute with: who reads them refuses them.

The first example of a file lies behind its header: counts of sequences and right answers, the
group, the options, the right answers; then of each sequence its tokens, its targets, its ids.
"""

import hashlib
import json
from pathlib import Path

CONFORMANCE = Path(__file__).parents[2] / "conformance"
# The style of a bundle in tests/conformance, a byte of its rows' first example, the number that is
# put there, and what is said.
CASES = [
    ("masked", 28, 284, "example 1 has token 284, expected 0 to 283"),
    ("masked", 28, -1, "example 1 has token -1, expected 0 to 283"),
    ("masked", 24, -1, "example 1 has mask_position -1, expected 0 to 7"),
    ("masked", 24, 8, "example 1 has mask_position 8, expected 0 to 7"),
    ("masked", 16, 2, "example 1 has the right answer 2, expected 0 to 1"),
    ("masked", 16, -1, "example 1 has the right answer 4294967295, expected 0 to 1"),
    ("masked", 20, 99, "example 1 has 99 tokens, expected 1 to 12"),
    ("causal", 16, 2, "example 1 has the right answer 2, expected 0 to 1"),
    ("causal", 24, 0, "example 1 has option_start 0, expected 1 to "),
    ("causal", 28, 0, "example 1 has option_tokens 0, expected 1 to "),
    ("causal", 28, 60, "example 1 has option_tokens 60, expected 1 to "),
    ("causal", 32, 291, "example 1 has token 291, expected 0 to 290"),
]


def first_example(data: bytes) -> int:
    """Returns where a file's examples begin."""
    return 12 + int.from_bytes(data[8:12], "little")


def replaced(data: bytes, place: int, new: bytes) -> bytes:
    """Returns a file with other bytes at a place, and the sum of what they are now."""
    body = data[:-32]
    body = body[:place] + new + body[place + len(new) :]
    return body + hashlib.sha256(body).digest()


def spoil(style: str, place: int, value: int, path: Path) -> Path:
    """Writes the rows of a style in tests/conformance with one number changed; returns `path`."""
    data = (CONFORMANCE / f"{style}.rows").read_bytes()
    new = value.to_bytes(4, "little", signed=value < 0)
    path.write_bytes(replaced(data, first_example(data) + place, new))
    return path


def of_bundle(bundle: Path, path: Path) -> Path:
    """Writes the masked rows as those of another bundle; returns `path`."""
    data = (CONFORMANCE / "masked.rows").read_bytes()
    first, other = (
        json.loads((folder / "bundle.json").read_text())["checksum"].encode()
        for folder in (CONFORMANCE / "masked", bundle)
    )
    path.write_bytes(replaced(data, data.index(first), other))
    return path


def of_other_targets(path: Path) -> Path:
    """Writes the rows of a causal model with their targets in another order; returns `path`."""
    data = (CONFORMANCE / "causal.rows").read_bytes()
    header = data[12 : first_example(data)]
    other = header.replace(
        b'["option_start", "option_tokens"]', b'["option_tokens", "option_start"]'
    )
    path.write_bytes(replaced(data, 12, other))
    return path
