"""A data file as text: UTF-8 or UTF-16, plain or compressed by gzip; what is no text is named."""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ...errors import InputError
from .foreign import check_content

# A row longer than this is no row: a damaged file would otherwise fill the memory.
LONGEST = 1 << 28
CHUNK = 1 << 20
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the number and text of each line, its end included.

    Lines end with \\n and nothing else: str.splitlines would also split at U+2028.

    Raises:
      InputError: the file cannot be read, or is no text.
    """
    with _opened(path) as (file, encoding):
        read = _utf8_lines(path, file) if encoding == "utf-8" else _lines(path, file, encoding)
        yield from enumerate(read, 1)


def rows_of_text(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not blank, without \\n or \\r\\n at their ends."""
    for number, text in lines_of(path):
        text = text.removesuffix("\n").removesuffix("\r")
        if text.strip(" "):
            yield number, text


@contextmanager
def open_text(path: Path) -> Iterator[Callable[[int], str]]:
    """Gives a function that reads so many characters more, "" at the end.

    Raises:
      InputError: as `lines_of`.
    """
    with _opened(path) as (file, encoding):
        text = io.TextIOWrapper(file, "utf-8-sig" if encoding == "utf-8" else encoding, newline="")

        def read(size: int) -> str:
            with _explained(path):
                try:
                    return text.read(size)
                except UnicodeDecodeError:
                    for _ in lines_of(path):  # which names the line
                        pass
                    raise

        yield read


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, str]]:
    """Opens a file at its first byte; gives its encoding too."""
    if path.is_dir():
        raise InputError(
            f"{path}: found a directory, expected a data file; name the file in it (a folder of "
            'the datasets library: write it with dataset.to_json("data.jsonl") first)'
        )
    with _explained(path), open(path, "rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        file = gzip.GzipFile(fileobj=plain) if zipped else plain
        head = file.read(512)
        file.seek(0)
        check_content(path, head)
        yield cast(BinaryIO, file), "utf-16" if head.startswith(UTF16) else "utf-8"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Says in a line why a file could not be read."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: found a damaged gzip file ({error}), expected a whole one; fetch it again"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: found text that is not {error.encoding} ({error.reason}), expected UTF-8 or "
            "UTF-16; convert the file"
        ) from error
    except OSError as error:
        reason = f"{path}: {error.strerror}, expected a data file; check the path"
        raise InputError(reason) from error


def _utf8_lines(path: Path, file) -> Iterator[str]:
    number = 0
    while raw := file.readline(LONGEST + 1):
        number += 1
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        where = f"{path} line {number}"
        if len(raw) > LONGEST:
            raise InputError(
                f"{where}: found a line of over {LONGEST >> 20} MB, expected shorter rows; "
                "check the file"
            )
        if b"\0" in raw:
            raise InputError(
                f"{where}: found a NUL byte, expected text; convert the file to UTF-8 (UTF-16 is "
                "known by its byte order mark)"
            )
        try:
            yield raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{where}: found byte 0x{raw[error.start]:02x} at position "
                f"{error.start}, expected UTF-8; convert the file"
            ) from error


def _lines(path: Path, file, encoding: str) -> Iterator[str]:
    text = io.TextIOWrapper(file, encoding, newline="\n")
    while True:
        with _explained(path):
            line = text.readline(LONGEST)
        if not line:
            return
        yield line
