"""An engine of another version: what it does otherwise is named before it opens a model."""

from importlib import import_module, metadata
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from small_runs import complaint, python

from pocketllm.runtime import contract
from pocketllm.runtime.engine import private_interface
from pocketllm.runtime.engine.compiled import CompiledEngine
from pocketllm.runtime.engine.interpreter import MODULES, InterpreterEngine
from pocketllm.runtime.engine.private_interface import check_compiled, check_interpreter
from pocketllm.runtime.engine.probe_model import probe_model
from pocketllm.runtime.errors import InputError

LITERT = contract.ENGINES["litert"]
KEYWORD = "experimental_disable_delegate_clustering"


class Altered:
    """An object with some of its attributes replaced."""

    def __init__(self, original, **changes):
        self._original, self._changes = original, changes

    def __getattr__(self, name):
        changes = self.__dict__["_changes"]
        return changes[name] if name in changes else getattr(self.__dict__["_original"], name)


def library_of(engine, change):
    """Returns an engine's library; `change` makes its interpreters of class and keywords."""
    original, library = import_module(MODULES[engine]), ModuleType(engine)
    library.Interpreter = lambda **given: change(original.Interpreter, given)
    return library


def refusal_of(engine, change):
    """Returns the one line that refuses a changed library."""
    distribution = contract.ENGINES[engine]
    with pytest.raises(InputError) as error:
        check_interpreter(distribution, library_of(engine, change))
    line = str(error.value)
    assert "\n" not in line
    assert f"{distribution} {metadata.version(distribution)}: " in line
    assert f"install '{distribution}{private_interface.TESTED[distribution]}'" in line
    return line


def without_the_switch(interpreter, given):
    if KEYWORD in given:
        raise TypeError(f"unexpected keyword argument {KEYWORD!r}")
    return interpreter(**given)


def clustered(interpreter, given):
    return interpreter(**given | {KEYWORD: False})


def without_nodes(interpreter, given):
    original = interpreter(**given)
    return Altered(original, _interpreter=object())


def forgetful(interpreter, given):
    """One whose variable reads as zeros."""
    original = interpreter(**given)

    def get(name):
        runner = original.get_signature_runner(name)
        return (lambda: {"value": np.zeros(4096, np.float32)}) if name == "read" else runner

    return Altered(original, get_signature_runner=get)


def test_the_engine_here_is_as_it_was_tested(engine):
    check_interpreter(contract.ENGINES[engine], import_module(MODULES[engine]))


def test_compiled_model_here_is_as_it_was_tested():
    modules = (import_module(f"ai_edge_litert.{name}") for name in ("compiled_model", "options"))

    check_compiled(LITERT, *modules)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without_the_switch, f"TypeError: unexpected keyword argument '{KEYWORD}'"),
        (without_nodes, "AttributeError"),
        (forgetful, "values after a release differ"),
    ],
)
def test_an_engine_that_differs_is_refused_in_one_line(engine, change, problem):
    assert problem in refusal_of(engine, change)


def test_an_engine_that_clusters_in_spite_of_the_switch_is_refused():
    """It would take twice the memory and half the speed, silently."""
    assert "partitions without clustering differ" in refusal_of("litert", clustered)


def test_a_release_that_loses_values_is_refused(engine, monkeypatch):
    def destroy(interpreter, runner):
        interpreter.get_signature_runner("write")(
            value=np.zeros(4096, np.float32), position=np.array([0], np.int32)
        )

    monkeypatch.setattr(private_interface, "release_tensors", destroy)

    assert "values after a release differ" in refusal_of(engine, lambda make, given: make(**given))


def test_options_that_compiled_model_no_longer_takes_are_named():
    library = import_module("ai_edge_litert.compiled_model")
    options = ModuleType("options")
    options.CpuOptions = lambda num_threads: None

    with pytest.raises(InputError, match="xnnpack_weight_cache_path.*install 'ai-edge-litert>=2"):
        check_compiled(LITERT, library, options)


def test_weights_that_are_not_packed_into_the_file_are_an_error(tmp_path, monkeypatch):
    """A library that ignores the option."""
    original = private_interface.open_compiled

    def ignoring(*modules, **model):
        return original(*modules, **model | {"cache": private_interface.IN_MEMORY})

    (tmp_path / "model.tflite").write_bytes(probe_model())
    monkeypatch.setattr("pocketllm.runtime.engine.compiled.open_compiled", ignoring)

    with pytest.raises(InputError, match="packs no weights into a file"):
        CompiledEngine(tmp_path / "model.tflite", 1, tmp_path / "packed")


def test_the_check_runs_before_the_model_is_opened(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("pocketllm.runtime.engine.interpreter.check_interpreter", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        InterpreterEngine(engine, tmp_path / "missing.tflite", threads=1)


def test_the_command_line_says_it_in_one_line(golden_bundle, tmp_path):
    code = f"""
import ai_edge_litert.interpreter as library
original = library.Interpreter
library.Interpreter = lambda **given: original(**given | {{"{KEYWORD}": False}})
from pocketllm.runtime.cli import main
raise SystemExit(main(["train", "--bundle={golden_bundle.folder}", "--train={tmp_path}/t.tsv",
                       "--run={tmp_path}/run", "--steps=1", "--lr=1e-3"]))
"""
    (tmp_path / "t.tsv").write_text("sentence\tlabel\na film\t1\n")

    complaint(python(code), 2, f"{LITERT} {metadata.version(LITERT)}: ", "partitions", "install '")


@pytest.mark.desktop
def test_the_model_of_the_check_is_the_one_that_the_script_makes():
    import probe_graph

    assert probe_graph.probe_model() == probe_model()


@pytest.mark.desktop
def test_an_exporters_library_that_differs_is_refused_in_one_line(monkeypatch):
    from pocketllm.export import private_interface as exporters

    with pytest.raises(
        InputError, match=r"tensorflow .*no unfold_batchmatmul.*install 'tensorflow>=2"
    ):
        exporters.configure(SimpleNamespace(), lambda folder: None)
    exporters.check_schema()
    exporters.check_schema.cache_clear()
    monkeypatch.setattr(exporters, "pack", lambda root: b"")
    with pytest.raises(InputError, match=r"ai-edge-litert .*schema.*install 'ai-edge-litert>=2"):
        exporters.check_schema()
