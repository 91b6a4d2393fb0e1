"""JSON files: an object a line, or one array of objects."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from ...errors import InputError
from ...tasks.rows import shown
from .columns import Columns, FileRow, spelled
from .json_shapes import EXPECTED, check_shape
from .lines import CHUNK, LONGEST, lines_of, open_text

_SPACE = " \t\r\n"


def json_rows(path: Path, task: Columns, notes: list[str]) -> Iterator[FileRow]:
    """Yields the objects of a .jsonl, .ndjson or .json file, read piece by piece.

    Raises:
      InputError: no JSON, or something else than objects.
    """
    with open_text(path) as read:
        start = _Text(path, read).next_sign()
    if start == "{":
        _check_first(path, task)
    rows = _array if start == "[" else _lines
    for line, value in rows(path):
        if not isinstance(value, dict):
            raise InputError(
                f"{path} line {line}: found {shown(value)}, expected a JSON object; "
                "put one object on each line"
            )
        yield FileRow(spelled(value, task), line)


def _check_first(path: Path, task: Columns) -> None:
    """Checks the first object of a file: that a line is a row, and not the file one object."""
    with open_text(path) as read:
        text = _Text(path, read)
        text.next_sign()
        first = text.line
        try:
            value = text.value()
        except InputError:
            return  # its line says more
        last, sign = text.line, text.next_sign()
    if not sign:
        check_shape(path, cast(dict, value), task)
    if sign == ",":
        raise InputError(
            f"{path} line {last}: found a comma behind the object, {EXPECTED}; take the commas "
            "behind the rows away, or put [ before the first and ] behind the last"
        )
    if last > first:
        raise InputError(
            f"{path} line {first}: found an object on {last - first + 1} lines, {EXPECTED}; "
            "put each object on one line"
        )


def _lines(path: Path) -> Iterator[tuple[int, object]]:
    first = True
    for line, text in lines_of(path):
        if not text.strip():
            continue
        try:
            # Without the line's end: an error behind the last sign would stand on a next line.
            yield line, json.loads(text.rstrip(_SPACE), object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            remedy = "correct the line"
            if (first and text.strip() in ("{", "{}")) or (first and text.rstrip().endswith(",")):
                remedy = "put each object on one line"
            column = f" at column {getattr(error, 'colno', 0)}"
            raise _invalid(path, line, error, remedy, column) from error
        first = False


def _array(path: Path) -> Iterator[tuple[int, object]]:
    with open_text(path) as read:
        text = _Text(path, read)
        text.next_sign()
        text.take("[")
        if text.next_sign() == "]":
            text.take("]")
        else:
            while True:
                text.next_sign()
                yield text.line, text.value()
                if text.next_sign() == "]":
                    text.take("]")
                    break
                text.take(",")
        if text.next_sign():
            raise text.unexpected("the end of the file behind the array")


class _RepeatedKeyError(ValueError):
    """An object has a key twice: the JSON of Python would take the last without a word."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKeyError(next(shown(name) for name in names if names.count(name) > 1))
    return values


def _invalid(path: Path, line: int, error: Exception, remedy: str, column: str = "") -> InputError:
    if isinstance(error, _RepeatedKeyError):
        return InputError(
            f"{path} line {line}: found the key {error} twice in an object, expected each once; "
            "take one away"
        )
    known = isinstance(error, json.JSONDecodeError)  # ValueError alone: a number too long
    reason = f"{error.msg.removesuffix(' at')}{column}" if known else type(error).__name__
    return InputError(f"{path} line {line}: found no valid JSON ({reason}), {EXPECTED}; {remedy}")


class _Text:
    """The text of a JSON file, of which a piece is in memory."""

    def __init__(self, path: Path, read):
        self._path, self._read = path, read
        self._text, self._place, self._ended = "", 0, False
        self._decoder = json.JSONDecoder(object_pairs_hook=_unique)
        self.line = 1

    def next_sign(self) -> str:
        """Skips white space; returns the character behind it, "" at the end."""
        while True:
            while self._place < len(self._text):
                sign = self._text[self._place]
                if sign not in _SPACE:
                    return sign
                self.line += sign == "\n"
                self._place += 1
            if self._ended:
                return ""
            self._more()

    def take(self, expected: str) -> None:
        """Goes over one character; InputError if it is another."""
        if self.next_sign() != expected:
            raise self.unexpected(f"{expected!r}")
        self._place += 1

    def value(self) -> object:
        """Returns the value that begins here, and goes behind it."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                # Text that only ends too early is not wrong yet.
                cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - 16
                if not cut or self._ended:
                    raise self._invalid(error) from error
                self._more()
            except (ValueError, RecursionError) as error:
                raise self._invalid(error) from error
            else:
                # A number at the end of a piece may go on in the next one.
                if end < len(self._text) or self._ended:
                    self.line += self._text.count("\n", self._place, end)
                    self._place = end
                    return value
                self._more()

    def unexpected(self, expected: str) -> InputError:
        """Returns the error of a character that does not belong here."""
        sign = self._text[self._place : self._place + 1]
        return InputError(
            f"{self._path} line {self.line}: found {shown(sign) if sign else 'the end'}, expected "
            f"{expected}; correct the array"
        )

    def _invalid(self, error: Exception) -> InputError:
        line = self.line
        if isinstance(error, json.JSONDecodeError):
            line += self._text.count("\n", self._place, error.pos)
        return _invalid(self._path, line, error, "correct the array")

    def _more(self) -> None:
        """Reads on: at least as much as there is, so that a long value is not read often."""
        rest = self._text[self._place :]
        if len(rest) > LONGEST:
            raise InputError(
                f"{self._path} line {self.line}: found a value of over {LONGEST >> 20} MB, "
                "expected shorter rows; check the file"
            )
        piece = self._read(max(CHUNK, len(rest)))
        self._text, self._place, self._ended = rest + piece, 0, not piece
