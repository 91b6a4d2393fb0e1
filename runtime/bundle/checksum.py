"""A JSON object that cannot be altered unnoticed: its last key is the sha256 of the file itself.

The digest is of all the file's bytes with 64 zeros in the digest's own place, so that any language
can check it without knowing how Python writes numbers.
"""

import hashlib
import re
from pathlib import Path

from ..errors import InputError
from ..host.files import json_bytes, write_bytes

SEAL = "seal"
BLANK = "0" * 64


def write_sealed(path: Path, values: dict) -> None:
    """Writes one JSON object by rename, with its seal; errors are those of `written_beside`."""
    blank = json_bytes({k: v for k, v in values.items() if k != SEAL} | {SEAL: BLANK})
    write_bytes(path, _with(blank, BLANK, hashlib.sha256(blank).hexdigest()))


def check_seal(path: Path, values: dict, remedy: str) -> None:
    """Raises InputError where a file does not hold what was sealed.

    Args:
      path: the file.
      values: what was read from it.
      remedy: what to do then, the end of the error message.
    """
    seal = values.get(SEAL)
    if not isinstance(seal, str) or not re.fullmatch("[0-9a-f]{64}", seal):
        raise InputError(f"{path}: without a {SEAL}; {remedy}")
    found = hashlib.sha256(_with(Path(path).read_bytes(), seal, BLANK)).hexdigest()
    if found != seal:
        raise InputError(
            f"{path}: {SEAL} {seal[:12]}…, expected {found[:12]}…: the file was altered; {remedy}"
        )


def _with(data, old, new):
    """Returns the bytes with the last occurrence of a text replaced."""
    before, _, after = data.rpartition(old.encode())
    return before + new.encode() + after
