"""Engine: what a model file open for computing does, whichever library runs it."""

from typing import Protocol

import numpy as np


class Engine(Protocol):
    """A model file open in a library; every signature shares its variables.

    Attributes:
      name: of the library, one of contract.ENGINES.
      threads: of its kernels.
    """

    name: str
    threads: int

    def run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Calls a signature with all its inputs; returns copies of its outputs.

        Args:
          signature: one of bundle.json's.
          **inputs: by name, of the dtypes and shapes in bundle.json.

        Raises:
          InputError: the file has no such signature.
          RunError: the library failed.
        """
        ...

    def describe(self) -> str:
        """Names the library, its version, threads and delegate; call after `initialize_0`."""
        ...

    def release_file_pages(self) -> None:
        """Drops the resident pages of the mapped model file; they can be read again."""
        ...

    def release_tensors(self, signature: str) -> None:
        """Drops the memory of a signature's inputs and outputs until its next call."""
        ...
