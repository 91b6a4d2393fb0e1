"""Files of one JSON object a line, each on the disk before anything that rests on it."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from pocketllm.runtime.errors import InputError, RunError
from pocketllm.runtime.host.files import sync_folder
from pocketllm.runtime.host.typed_json import typed

T = TypeVar("T")


def append_lines(path: Path, *records) -> None:
    """Appends dataclasses and flushes them to the disk; without any the file is there.

    Raises:
      RunError: the disk is full or read-only; then nothing is appended.
    """
    data = b"".join(json.dumps(asdict(record)).encode() + b"\n" for record in records)
    try:
        is_new = not path.exists()
        with open(path, "ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if file.write(data) < len(data):
                file.truncate(size)
                raise OSError(28, "no space left")
            os.fsync(file.fileno())
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written: {error.strerror}; free some space and run the same "
            "command again: it goes on"
        ) from error


def read_lines(path: Path, kind: type[T], remedy: str) -> Iterator[tuple[T, int]]:
    """Yields (record, where its line ends) of a file, without a torn end.

    Args:
      path: the file.
      kind: dataclass of a line.
      remedy: what to do about a damaged one.

    Raises:
      InputError: a line is damaged.
    """
    end = 0
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        end += len(line) + 1
        try:
            record = typed(kind, json.loads(line))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: line {number} is damaged ({error}); {remedy}") from error
        yield record, end
