"""The metadata of a GGUF file by type: what is missing or of another type is refused by its key."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketllm.runtime.errors import InputError

LARGEST = 1 << 31


@dataclass(frozen=True)
class Fields:
    """Metadata of a file.

    Attributes:
      path: of the file, for error messages.
      values: key -> value, as GgufHeader has them.
      architecture: stands before the dot of the keys that describe the model.
    """

    path: Path
    values: dict[str, Any]
    architecture: str = ""

    def size(self, key: str, default: int | None = None) -> int:
        """Returns a positive number of things; one entry where every layer has the same."""
        value = self._present(key, default)
        if isinstance(value, np.ndarray) and value.size and (value == value[0]).all():
            value = value[0].item()
        if type(value) is not int or not 0 < value < LARGEST:
            raise self.refused(key, "a positive whole number, the same for every layer")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Returns a finite number; float32 as the shortest decimal that stands for it."""
        value = self._present(key, default)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self.refused(key, "a finite number")
        short = float(str(np.float32(value)))
        return short if np.float64(np.float32(value)) == value else value

    def text(self, key: str, default: str | None = None) -> str:
        """Returns a text."""
        value = self._present(key, default)
        if type(value) is not str:
            raise self.refused(key, "a text")
        return value

    def switch(self, key: str, default: bool) -> bool:
        """Returns true or false."""
        value = self._present(key, default)
        if type(value) is not bool:
            raise self.refused(key, "true or false")
        return value

    def has(self, key: str) -> bool:
        """Whether the file has a value of this key."""
        return self.place(key) in self.values

    def place(self, key: str) -> str:
        """Returns the whole key: one that begins with a dot is the architecture's."""
        return f"{self.architecture}{key}" if key.startswith(".") else key

    def refused(self, key: str, expected: str) -> InputError:
        """Returns the error about a value of another type."""
        value = repr(self.values.get(self.place(key)))
        return InputError(
            f"{self.path}: metadata {self.place(key)} is {' '.join(value.split())[:80]}, expected "
            f"{expected}; convert the model again with llama.cpp"
        )

    def _present(self, key, default):
        value = self.values.get(self.place(key), default)
        if value is None:
            raise InputError(
                f"{self.path}: without metadata {self.place(key)}; convert the model again with "
                "llama.cpp"
            )
        return value
