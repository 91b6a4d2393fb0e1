"""LiteRT's CompiledModel behind the interface of Engine: constants' packed copies are shared.

XNNPACK packs every constant matrix for its kernels. The Interpreter keeps a copy of its own for
every length in anonymous memory; CompiledModel has one for all of them and takes a file for it,
whose pages can be dropped like the model's own.
"""

from importlib import import_module, metadata
from pathlib import Path

import numpy as np

from ..errors import InputError, RunError
from ..host.pages import release_file_pages

DISTRIBUTION = "ai-edge-litert"
IN_MEMORY = ":memory"  # XNNPACK's name of a cache without a file


class CompiledEngine:
    """A model file open as a CompiledModel; every signature shares its variables."""

    name = "litert"

    def __init__(self, model_path: Path, threads: int, packed_path: Path | None):
        """Opens the file; packs its matrices into `packed_path` unless that exists already.

        Without a path they stay in memory.

        Raises:
          InputError: the engine is missing, or cannot read the file.
        """
        try:
            compiled_model = import_module("ai_edge_litert.compiled_model")
            options = import_module("ai_edge_litert.options")
            cpu_options = import_module("ai_edge_litert.cpu_options")
        except ImportError as error:
            raise InputError(
                f"engine 'litert' cannot be imported ({error}); install {DISTRIBUTION}"
            ) from error
        self._path = Path(model_path).resolve()
        held = str(Path(packed_path).resolve()) if packed_path else IN_MEMORY
        cpu = cpu_options.CpuOptions(num_threads=threads, xnnpack_weight_cache_path=held)
        try:
            self._model = compiled_model.CompiledModel.from_file(
                str(self._path), options=options.Options(cpu_options=cpu)
            )
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"{model_path}: litert cannot open it ({error}); export it again"
            ) from error
        self.threads = threads
        self._held = "a mapped file" if packed_path else "memory"
        self._signatures = self._model.get_signature_list()
        self._buffers: dict[str, tuple[dict, dict]] = {}
        self._outputs: dict[str, dict] = {}

    def run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Calls a signature with all its inputs and returns its outputs (copies)."""
        if signature not in self._signatures:
            raise InputError(f"{self._path}: no signature {signature!r}; export it again")
        try:
            taken, given = self._buffers_of(signature)
            for name, buffer in taken.items():
                buffer.write(np.ascontiguousarray(inputs[name]))
            self._model.run_by_name(signature, taken, given)
            details = self._outputs[signature]
            return {name: _read(buffer, details[name]) for name, buffer in given.items()}
        except (RuntimeError, ValueError) as error:
            raise RunError(f"{self._path}: {signature} failed: {error}") from error

    def describe(self) -> str:
        """Says what runs."""
        version = metadata.version(DISTRIBUTION)
        return (
            f"{self.name} ({DISTRIBUTION} {version}, {self.threads} threads, XNNPACK delegate, "
            f"packed weights in {self._held})"
        )

    def release_file_pages(self) -> None:
        """Lets go of the resident pages of the mapped model file; they can be read again."""
        release_file_pages(self._path)

    def release_tensors(self, signature: str) -> None:
        """Lets go of the buffers of a signature's inputs and outputs until its next call."""
        self._buffers.pop(signature, None)

    def _buffers_of(self, signature):
        if signature not in self._buffers:
            names = self._signatures[signature]
            model = self._model
            taken = {n: model.create_input_buffer_by_name(signature, n) for n in names["inputs"]}
            given = {n: model.create_output_buffer_by_name(signature, n) for n in names["outputs"]}
            self._buffers[signature] = taken, given
            self._outputs[signature] = model.get_output_tensor_details(signature)
        return self._buffers[signature]


def _read(buffer, detail):
    shape, kind = tuple(detail["shape"]), np.dtype(detail["dtype"])
    return buffer.read(int(np.prod(shape)), kind.type).reshape(shape)
