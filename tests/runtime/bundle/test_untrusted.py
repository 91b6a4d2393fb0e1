"""Bundles, runs and checkpoints from strangers: nothing in them is run, none leaves its folder.

The search for dangerous calls is in tests/packaging, names in bundle.json are in test_bundle.py,
shards and pickled checkpoints in test_checkpoint_errors.py.
"""

import os
import zipfile

import numpy as np
import pytest

from pocketllm.runtime.errors import InputError
from pocketllm.runtime.run.parameters import load_parameters, save_parameters


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
