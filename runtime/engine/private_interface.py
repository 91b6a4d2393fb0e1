"""Everything used of the engines' libraries that none of their releases promises.

Each library is checked once, on a model of 1 kB, before it opens a model file. Where something is
gone or does something else, one line names the library's version and the versions that were tested.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from types import ModuleType
from typing import Any

import numpy as np

from ..contract import ENGINES
from ..errors import InputError
from ..host.pages import release_array_pages
from .probe_model import OPERATORS, VALUES, probe_model

# Distribution -> the versions that the tests ran with; setup.cfg says the same.
TESTED = {"ai-edge-litert": ">=2.3,<2.4", "tflite-runtime": ">=2.14,<2.15"}
DELEGATE_NODE = "DELEGATE"
IN_MEMORY = ":memory"  # XNNPACK's name of a file of packed weights that is none


@contextmanager
def importing(engine: str) -> Iterator[None]:
    """Imports of an engine's library in here raise InputError where it is missing."""
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"engine {engine!r} cannot be imported ({error}); install {ENGINES[engine]}"
            + (" (its wheels end at Python 3.11)" if engine == "tflite" else "")
        ) from error


def open_interpreter(library: ModuleType, threads: int, **model) -> Any:
    """Opens `model_path` or `model_content`; its delegate takes nodes in their order.

    With clustering every variable is read in a partition of its own, and copied.
    """
    return library.Interpreter(
        num_threads=threads, experimental_disable_delegate_clustering=True, **model
    )


def node_names(interpreter: Any) -> list[str]:
    """Returns the operators of the first signature, then one DELEGATE a partition."""
    wrapper = interpreter._interpreter
    return [wrapper.NodeName(index) for index in range(wrapper.NumNodes())]


def tensor_views(interpreter: Any, runner: Any) -> Iterator[np.ndarray]:
    """Yields the memory of a signature's inputs, then outputs, not copied."""
    wrapper, subgraph = interpreter._interpreter, runner._subgraph_index
    for details in (runner.get_input_details(), runner.get_output_details()):
        for tensor in details.values():
            yield wrapper.tensor(interpreter, tensor["index"], subgraph)


def release_tensors(interpreter: Any, runner: Any) -> None:
    """Drops the memory of a signature's inputs and outputs until its next call."""
    for view in tensor_views(interpreter, runner):
        release_array_pages(view)


def open_compiled(library: ModuleType, options: ModuleType, threads: int, **model) -> Any:
    """Opens `path` or `content` as a CompiledModel.

    Args:
      library: ai_edge_litert.compiled_model.
      options: ai_edge_litert.options.
      threads: of the kernels.
      **model: `path` or `content`; `cache`, where matrices are packed unless the file exists.
    """
    cpu = options.CpuOptions(num_threads=threads, xnnpack_weight_cache_path=model["cache"])
    settings = options.Options(cpu_options=cpu)
    if "path" in model:
        return library.CompiledModel.from_file(model["path"], options=settings)
    return library.CompiledModel.from_buffer(model["content"], options=settings)


@cache
def check_interpreter(distribution: str, library: ModuleType) -> None:
    """Checks an interpreter's library: variables, views, their release, the delegate's partitions.

    Raises:
      InputError: something of it is not as it was in the tested versions.
    """
    with _described(distribution):
        interpreter = _opened(lambda content: open_interpreter(library, 1, model_content=content))
        write, read = map(interpreter.get_signature_runner, ("write", "read"))
        for factor in (1, 2):
            values = _values(factor)
            write(**values)
            _require(_is_seen(values["value"], interpreter, write), "tensor views")
            release_tensors(interpreter, write)
            _require(np.array_equal(read()["value"], values["value"]), "values after a release")
        names = node_names(interpreter)
        _require(names[: len(OPERATORS)] == OPERATORS, "names of nodes")
        # None without a delegate. Clustering would join the two.
        _require(names.count(DELEGATE_NODE) in (0, 2), "partitions without clustering")


@cache
def check_compiled(distribution: str, library: ModuleType, options: ModuleType) -> None:
    """Checks CompiledModel: its options, its buffers, variables after buffers were dropped.

    Raises:
      InputError: something of it is not as it was in the tested versions.
    """
    with _described(distribution):
        model = _opened(
            lambda content: open_compiled(library, options, 1, content=content, cache=IN_MEMORY)
        )
        names = model.get_signature_list()
        for factor in (1, 2):
            values = _values(factor)
            inputs = {
                name: model.create_input_buffer_by_name("write", name)
                for name in names["write"]["inputs"]
            }
            outputs = {
                name: model.create_output_buffer_by_name("write", name)
                for name in names["write"]["outputs"]
            }
            for name, buffer in inputs.items():
                buffer.write(values[name])
            model.run_by_name("write", inputs, outputs)
            del inputs, outputs, buffer
            result = {"value": model.create_output_buffer_by_name("read", "value")}
            model.run_by_name("read", {}, result)
            stored = result["value"].read(VALUES, np.float32)
            _require(np.array_equal(stored, values["value"]), "values after a release")
        details = model.get_output_tensor_details("read")["value"]
        _require([*details["shape"]] == [VALUES], "shapes of outputs")


def refusal(distribution: str, problem: str) -> InputError:
    """Returns the error of a library that is not as it was in the tested versions."""
    version, tested = metadata.version(distribution), TESTED[distribution]
    return InputError(
        f"{distribution} {version}: {problem}, not as in the versions that PocketLLM was tested "
        f"with; install '{distribution}{tested}'"
    )


def _opened(opening):
    """Opens the model of 1 kB; the library must hold its bytes."""
    content = probe_model()
    references = sys.getrefcount(content)
    model = opening(content)
    # engine/mapped_bytes.py ends a mapping that nothing holds.
    _require(sys.getrefcount(content) > references, "who holds a model's bytes")
    return model


def _values(factor):
    values = np.arange(VALUES, dtype=np.float32) * factor + 1
    return {"value": values, "position": np.array([7], np.int32)}


def _is_seen(value, interpreter, runner):
    return any(np.array_equal(view, value) for view in tensor_views(interpreter, runner))


def _require(holds, what):
    if not holds:
        raise ValueError(f"{what} differ")


@contextmanager
def _described(distribution: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a library may raise anything for what it does not know
        line = " ".join(f"{error}".split())
        raise refusal(distribution, f"{type(error).__name__}: {line}") from error
