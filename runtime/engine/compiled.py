"""LiteRT's CompiledModel behind the interface Engine: one packed copy of constants for all lengths.

The Interpreter packs every constant matrix once a length, in anonymous memory; CompiledModel packs
it once, and into a file if it is given one.
"""

from collections.abc import Collection
from importlib import import_module, metadata
from pathlib import Path

import numpy as np

from .. import contract
from ..errors import InputError, RunError
from ..host.native_output import explained
from ..host.pages import release_file_pages
from .part import is_called, part_of
from .private_interface import IN_MEMORY, check_compiled, importing, open_compiled, refusal

DISTRIBUTION = contract.ENGINES["litert"]


class CompiledEngine:
    """A model file open as a CompiledModel."""

    name = "litert"

    def __init__(
        self,
        model_path: Path,
        threads: int,
        packed_path: Path | None,
        calls: Collection[str] | None = None,
    ):
        """Opens the file.

        Args:
          model_path: the .tflite file.
          threads: of the kernels.
          packed_path: where its matrices are packed unless the file exists; None: in memory.
          calls: names or stems of the signatures that are called; None: all can be.

        Raises:
          InputError: the engine is missing, another one than tested, or cannot read the file.
        """
        with importing(self.name):
            compiled_model = import_module("ai_edge_litert.compiled_model")
            options = import_module("ai_edge_litert.options")
        check_compiled(DISTRIBUTION, compiled_model, options)
        self._path = Path(model_path).resolve()
        cache = str(Path(packed_path).resolve()) if packed_path else IN_MEMORY
        part = part_of(self._path, calls)
        source = {"content": part.content} if part else {"path": str(self._path)}
        try:
            with explained():
                self._model = open_compiled(compiled_model, options, threads, cache=cache, **source)
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"{model_path}: litert cannot open it ({error}); export it again"
            ) from error
        if packed_path and not (Path(packed_path).exists() and Path(packed_path).stat().st_size):
            raise refusal(DISTRIBUTION, "it packs no weights into a file")
        self.threads = threads
        self._packed_in = "a mapped file" if packed_path else "memory"
        self._signatures = self._model.get_signature_list()
        self._buffers: dict[str, tuple[dict, dict]] = {}
        self._outputs: dict[str, dict] = {}
        self._calls, self._part = calls, part

    def run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Calls a signature with all its inputs and returns its outputs (copies)."""
        if signature not in self._signatures:
            assert self._calls is None or is_called(signature, self._calls), signature
            raise InputError(f"{self._path}: no signature {signature!r}; export it again")
        try:
            with explained():
                input_buffers, output_buffers = self._buffers_of(signature)
                for name, buffer in input_buffers.items():
                    buffer.write(np.ascontiguousarray(inputs[name]))
                self._model.run_by_name(signature, input_buffers, output_buffers)
                details = self._outputs[signature]
                return {
                    name: _read(buffer, details[name]) for name, buffer in output_buffers.items()
                }
        except (RuntimeError, ValueError) as error:
            raise RunError(f"{self._path}: {signature} failed: {error}") from error

    def describe(self) -> str:
        """Names what runs, and says where its packed weights are."""
        version = metadata.version(DISTRIBUTION)
        return (
            f"{self.name} ({DISTRIBUTION} {version}, {self.threads} threads, XNNPACK delegate, "
            f"packed weights in {self._packed_in})"
        )

    def release_file_pages(self) -> None:
        """Drops the resident pages of the mapped model file; they can be read again."""
        release_file_pages(self._path)

    def release_tensors(self, signature: str) -> None:
        """Drops the buffers of a signature's inputs and outputs until its next call."""
        self._buffers.pop(signature, None)

    def _buffers_of(self, signature):
        if signature not in self._buffers:
            model, names = self._model, self._signatures[signature]
            self._buffers[signature] = (
                {n: model.create_input_buffer_by_name(signature, n) for n in names["inputs"]},
                {n: model.create_output_buffer_by_name(signature, n) for n in names["outputs"]},
            )
            self._outputs[signature] = model.get_output_tensor_details(signature)
        return self._buffers[signature]


def _read(buffer, detail):
    shape, kind = tuple(detail["shape"]), np.dtype(detail["dtype"])
    return buffer.read(int(np.prod(shape)), kind.type).reshape(shape)
