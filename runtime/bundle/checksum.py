"""A JSON object that cannot be altered unnoticed: its last key is the file's own sha256.

The digest is of all the file's bytes with 64 zeros in the digest's own place, so that any language
can check it without knowing how Python writes numbers.
"""

import hashlib
import re
from pathlib import Path

from ..errors import InputError
from ..host.files import json_bytes, write_bytes

CHECKSUM = "checksum"
BLANK = "0" * 64


def write_with_checksum(path: Path, values: dict) -> None:
    """Writes one JSON object by rename, its checksum last.

    Raises:
      OutputError: as `write_bytes`.
    """
    others = {key: value for key, value in values.items() if key != CHECKSUM}
    blank = json_bytes(others | {CHECKSUM: BLANK})
    write_bytes(path, _with(blank, BLANK, hashlib.sha256(blank).hexdigest()))


def verify_checksum(path: Path, values: dict, remedy: str) -> None:
    """Compares a file with its checksum.

    Args:
      path: the file.
      values: the object read from it.
      remedy: the end of the error message, what to do.

    Raises:
      InputError: the checksum is missing, or that of other bytes.
    """
    written = values.get(CHECKSUM)
    if not isinstance(written, str) or not re.fullmatch("[0-9a-f]{64}", written):
        raise InputError(f"{path}: without a {CHECKSUM}; {remedy}")
    actual = hashlib.sha256(_with(Path(path).read_bytes(), written, BLANK)).hexdigest()
    if actual != written:
        raise InputError(
            f"{path}: {CHECKSUM} {written[:12]}…, expected {actual[:12]}…: the file was altered; "
            f"{remedy}"
        )


def _with(data: bytes, old: str, new: str) -> bytes:
    """Returns the bytes with the last occurrence of a text replaced."""
    before, _, after = data.rpartition(old.encode())
    return before + new.encode() + after
