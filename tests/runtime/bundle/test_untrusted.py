"""Bundles, runs and checkpoints from strangers: nothing in them is run, none leaves its folder.

Names in bundle.json are in test_bundle.py, shards and pickled checkpoints in
test_checkpoint_errors.py.
"""

import ast
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.run.parameters import load_parameters, save_parameters

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("runtime", "tflite_models", "export", "benchmarks", "android_harness", "examples")
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
RUN_CODE = {"eval", "exec", "compile", "__import__"}
# Loaders that unpickle unless they are told not to -> what they must be told.
TOLD = {"np.load": ("allow_pickle", False), "torch.load": ("weights_only", True)}


def problems(source: str):
    """Yields what may run something that was read."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (name for name in names if name.split(".")[0] in UNPICKLERS)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        name, wanted = TOLD.get(called, (None, None))
        if called in RUN_CODE or (name and given.get(name) is not wanted):
            yield ast.unparse(node)


def test_the_search_finds_what_it_looks_for():
    code = "import pickle\nfrom marshal import loads\nnp.load(a)\ntorch.load(a)\neval(a)\n"
    assert len(list(problems(code))) == 5
    assert list(problems("np.load(a, allow_pickle=False)\nmodel.eval(a)")) == []
    assert len(list(problems("torch.load(a, weights_only=False)"))) == 1


def test_no_module_unpickles_or_runs_what_it_reads():
    paths = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    problems_of = {path.relative_to(ROOT): list(problems(path.read_text())) for path in paths}

    assert {path.parts[0] for path in problems_of} == set(PACKAGES)
    assert len(problems_of) > 220, "the search reads all modules"
    assert {name: lines for name, lines in problems_of.items() if lines} == {}


class Hostile:
    """What makes a folder when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.fixture
def model(golden_bundle, open_ready):
    """The committed bundle, open."""
    return open_ready(golden_bundle, "litert")


def test_kept_parameters_that_would_run_code_are_refused_and_not_run(model, tmp_path):
    target, path = tmp_path / "was-run", tmp_path / "parameters-1.npz"
    values = dict(model.read())
    values[model.bundle.variables[0].name] = np.array([Hostile(target)])
    np.savez(path, **values)

    with pytest.raises(InputError, match="parameters-1.npz: damaged"):
        load_parameters(model, tmp_path, 1)
    assert not target.exists()
    np.load(path, allow_pickle=True)[model.bundle.variables[0].name]
    assert target.exists(), "the file would have done harm"


@pytest.mark.parametrize("name", ["../out.npy", "/tmp/out.npy", "a/../../out.npy"])
def test_members_of_an_archive_that_leave_the_folder_are_refused(name, model, tmp_path):
    folder = tmp_path / "a" / "run"
    folder.mkdir(parents=True)
    save_parameters(model, folder, 1)
    with zipfile.ZipFile(folder / "parameters-1.npz", "a") as archive:
        archive.writestr(name, b"out")

    with pytest.raises(InputError, match="variables, expected"):
        load_parameters(model, folder, 1)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "run", "parameters-1.npz"]
