"""The header of a GGUF file: its metadata, and where each tensor lies. No length is believed.

Read here and not by gguf.GGUFReader, which follows every length of a damaged file and makes
an array of each token: gigabytes and seconds for a vocabulary of 262,144. Layout: GGUF's
specification, versions 2 and 3.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.host.foreign import foreign_kind

MAGIC, VERSIONS = b"GGUF", (2, 3)
ALIGNMENT_KEY, ALIGNMENT = "general.alignment", 32
MOST_DIMENSIONS = 4
SCALARS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "|b1",
    10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
STRING, ARRAY = 8, 9
AGAIN = "download it again"
CONVERT = "convert the model again with today's llama.cpp"


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor lies.

    Attributes:
      kind: number of its GGML type, of gguf.GGMLQuantizationType.
      shape: rows first, as PyTorch has it; the file says it the other way round.
      start: first byte in the file.
      size: bytes.
    """

    kind: int
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class GgufHeader:
    """What a file says before its tensors' values.

    Attributes:
      path: the file.
      values: key -> str, int, float, bool, a list of strings, or an array of numbers.
      tensors: name -> place.
    """

    path: Path
    values: dict
    tensors: dict[str, TensorPlace]


class _Cut(Exception):
    """A length leads behind the end of the file."""


class _Bad(Exception):
    """What no GGUF file holds, in words, and what to do."""

    def __init__(self, problem: str, remedy: str = AGAIN):
        super().__init__(f"{problem}; {remedy}")


def read_header(path: Path) -> GgufHeader:
    """Reads a header.

    Raises:
      InputError: the file is cut or damaged, no GGUF file, or of a version that is not read.
    """
    path = Path(path)
    kind = foreign_kind(path)
    if kind:
        raise InputError(f"{path}: not a GGUF file: {kind}")
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _header(path, _Cursor(data))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; give a GGUF file") from error
    except _Cut as error:
        raise InputError(f"{path}: cut, it ends inside {error}; {AGAIN}") from error
    except _Bad as error:
        raise InputError(f"{path}: {error}") from error


class _Cursor:
    """Bytes read in order; `part` says what is being read, for error messages."""

    def __init__(self, data):
        self.data, self.size, self.at, self.part = data, len(data), 0, "its first bytes"

    def take(self, length: int) -> int:
        """Returns the first of the next bytes, and goes on behind them."""
        start = self.at
        if length > self.size - start:
            raise _Cut(self.part)
        self.at = start + length
        return start

    def number(self, code: str, width: int) -> int:
        return struct.unpack_from(f"<{code}", self.data, self.take(width))[0]

    def text(self) -> str:
        length = self.number("Q", 8)
        start = self.take(length)
        try:
            return self.data[start : start + length].decode("utf-8")
        except UnicodeDecodeError:
            raise _Bad(f"{self.part} holds a text that is not UTF-8") from None

    def array(self, kind: int, count: int) -> np.ndarray:
        dtype = np.dtype(SCALARS[kind])
        start = self.take(count * dtype.itemsize)
        return np.frombuffer(self.data[start : self.at], dtype)


def _header(path, cursor):
    _check_version(cursor)
    tensors, keys = cursor.number("Q", 8), cursor.number("Q", 8)
    values: dict = {}
    for index in range(keys):
        cursor.part = f"metadata key {index + 1} of {keys}"
        key = cursor.text()
        cursor.part = f"the value of {_shown(key)}"
        if key in values:
            raise _Bad(f"metadata key {_shown(key)} stands there twice")
        values[key] = _value(cursor)
    places: dict = {}
    for index in range(tensors):
        cursor.part = f"the description of tensor {index + 1} of {tensors}"
        name, place = _place(cursor)
        if name in places:
            raise _Bad(f"tensor {_shown(name)} stands there twice")
        places[name] = place
    return GgufHeader(path, values, _placed(cursor, places, values))


def _check_version(cursor):
    magic = cursor.data[: len(MAGIC)]
    if magic != MAGIC:
        raise _Bad(f"begins with {magic!r}, expected {MAGIC!r}", "give a GGUF file")
    cursor.take(len(MAGIC))
    version = cursor.number("I", 4)
    if version & 0xFFFF == 0 and version:
        raise _Bad("a big-endian GGUF file, expected a little-endian one", CONVERT)
    if version not in VERSIONS:
        raise _Bad(f"GGUF of version {version}, expected 2 or 3", CONVERT)


def _value(cursor):
    kind = cursor.number("I", 4)
    if kind == STRING:
        return cursor.text()
    if kind in SCALARS:
        return cursor.array(kind, 1)[0].item()
    if kind != ARRAY:
        raise _Bad(f"{cursor.part} is of the unknown type {kind}")
    kind, count = cursor.number("I", 4), cursor.number("Q", 8)
    if kind == STRING:
        return [cursor.text() for _ in range(count)]
    if kind not in SCALARS:
        raise _Bad(f"{cursor.part} is an array of the unknown type {kind}")
    return cursor.array(kind, count)


def _place(cursor):
    """Returns (name, place); its start is still counted from the first tensor's."""
    from gguf.constants import GGML_QUANT_SIZES

    name = cursor.text()
    dimensions = cursor.number("I", 4)
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise _Bad(f"tensor {_shown(name)} has {dimensions} dimensions, expected 1 to 4")
    shape = tuple(cursor.array(10, dimensions)[::-1].tolist())
    kind, start = cursor.number("I", 4), cursor.number("Q", 8)
    if kind not in GGML_QUANT_SIZES:
        raise _Bad(
            f"tensor {_shown(name)} is of the quantisation {kind}, which the gguf package does not "
            "know",
            "give the model in another quantisation, Q8_0",
        )
    values, width = GGML_QUANT_SIZES[kind]
    if 0 in shape or shape[-1] % values:
        raise _Bad(
            f"tensor {_shown(name)} has the shape {list(shape)}, expected rows of a multiple of "
            f"{values} values"
        )
    return name, TensorPlace(kind, shape, start, math.prod(shape) // values * width)


def _placed(cursor, places, values):
    """Returns the places counted from the file's first byte; they follow each other, padded."""
    alignment = values.get(ALIGNMENT_KEY, ALIGNMENT)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise _Bad(f"{ALIGNMENT_KEY} is {repr(alignment)[:80]}, expected a power of 2")

    def padded(size):
        return -(-size // alignment) * alignment

    first, following, placed = padded(cursor.at), 0, {}
    for name, place in places.items():
        if place.start != following:
            raise _Bad(f"tensor {_shown(name)} begins at {place.start}, expected {following}")
        start = first + following
        if start + place.size > cursor.size:
            raise _Cut(
                f"tensor {_shown(name)}, whose values end at byte {start + place.size} of "
                f"{cursor.size}"
            )
        placed[name] = TensorPlace(place.kind, place.shape, start, place.size)
        following += padded(place.size)
    return placed


def _shown(name):
    return repr(name)[:80] if not name.isprintable() or len(name) > 80 else name
