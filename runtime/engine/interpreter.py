"""The interpreters of LiteRT and tflite-runtime behind the interface Engine."""

from collections.abc import Collection
from importlib import import_module, metadata
from pathlib import Path

import numpy as np

from .. import contract
from ..errors import InputError, RunError
from ..host.native_output import explained
from ..host.pages import release_file_pages
from .part import is_called, part_of
from .private_interface import (
    DELEGATE_NODE,
    check_interpreter,
    importing,
    node_names,
    open_interpreter,
    release_tensors,
)

# engine -> the module to import
MODULES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}


class InterpreterEngine:
    """A model file open in an interpreter."""

    def __init__(
        self, name: str, model_path: Path, threads: int, calls: Collection[str] | None = None
    ):
        """Opens the file.

        Args:
          name: "litert" or "tflite".
          model_path: the .tflite file.
          threads: of the kernels.
          calls: names or stems of the signatures that are called; None: all can be.

        Raises:
          InputError: unknown or missing engine, another one than tested, or a file it cannot read.
        """
        if name not in MODULES:
            raise InputError(f"engine {name!r} is unknown, expected one of {', '.join(MODULES)}")
        self._distribution = contract.ENGINES[name]
        with importing(name):
            interpreter = import_module(MODULES[name])
        check_interpreter(self._distribution, interpreter)
        self._path = Path(model_path).resolve()
        part = part_of(self._path, calls)
        source = {"model_content": part.content} if part else {"model_path": str(self._path)}
        try:
            with explained():
                self._interpreter = open_interpreter(interpreter, threads, **source)
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"{model_path}: {name} cannot open it ({_one_line(error)}); export it again"
            ) from error
        self.name, self.threads = name, threads
        self._runners = {}
        self._calls, self._part = calls, part

    def run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Calls a signature with all its inputs and returns its outputs (copies)."""
        if signature not in self._runners:
            try:
                with explained():
                    runner = self._interpreter.get_signature_runner(signature)
                self._runners[signature] = runner
            except ValueError as error:
                assert self._calls is None or is_called(signature, self._calls), signature
                raise InputError(
                    f"{self._path}: no signature {signature!r}; export it again"
                ) from error
        try:
            with explained():
                return self._runners[signature](**inputs)
        except (RuntimeError, ValueError) as error:
            raise RunError(f"{self._path}: {signature} failed: {_one_line(error)}") from error

    def release_tensors(self, signature: str) -> None:
        """Drops the memory of a signature's inputs and outputs until its next call.

        Each signature has its own: after all of `read_*` it would be one more copy of the weights.
        """
        release_tensors(self._interpreter, self._runners[signature])

    def describe(self) -> str:
        """Names the interpreter and says how much its delegate runs; call after `initialize_0`."""
        partitions = node_names(self._interpreter).count(DELEGATE_NODE)
        delegate = (
            f"XNNPACK delegate, {partitions} partitions in the first forward signature"
            if partitions
            else "no delegate, built-in kernels"
        )
        version = metadata.version(self._distribution)
        return f"{self.name} ({self._distribution} {version}, {self.threads} threads, {delegate})"

    def release_file_pages(self) -> None:
        """Drops the resident pages of the mapped model file; they can be read again."""
        release_file_pages(self._path)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
